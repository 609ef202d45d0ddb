"""What past data say: associations of CPIs and KPIs, with every weakness spelled out; never a confirmation."""
