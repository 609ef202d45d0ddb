"""Arrays in, small frozen results out; knows no CPI. One method family a file, each function with its source."""
