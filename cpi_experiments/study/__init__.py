"""The default path for analysts: a project folder, one object, one call a step."""
