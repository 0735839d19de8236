#!/usr/bin/env python
"""Downloads the GLUE tasks into one folder each.

    python download_glue_data.py --data_dir=glue_data --tasks=CoLA,MRPC

`--help` describes the flags. The same command resumes an interrupted download.
"""

from albert.cli import downloads

if __name__ == "__main__":
    downloads.glue()
