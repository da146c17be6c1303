"""Scripts that run in a process of their own. Each prints one line of JSON and ends with an empty stderr."""
