"""What the GLUE tasks need: table, files, metrics and the report over all tasks."""
