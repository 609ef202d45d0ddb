"""Effects of many experiments of one link, put together: point, set, heterogeneity, views."""
