#!/usr/bin/env python
"""Downloads the GLUE tasks, one folder each.

    python download_glue_data.py --data_dir=glue_data --tasks=CoLA,MRPC

`--help` describes the flags. What is broken off goes on with the same command.
"""

from albert.cli import downloads

if __name__ == "__main__":
    downloads.glue()
