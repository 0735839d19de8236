"""Runs the classifier and sends it a signal right after a given update.

`python run_and_signal.py STEP SIGNAL_NUMBER FLAGS...`. The signal is real: only its moment is
chosen.
"""

import os
import runpy
import sys

from albert.cli import quiet

if __name__ == "__main__":
    quiet.ready_tensorflow()

import tensorflow.compat.v1 as tf

from albert.engine import hooks

STEP, SIGNAL_NUMBER = int(sys.argv[1]), int(sys.argv[2])
after_run_without_signal = hooks.ProgressHook.after_run


def after_run(self, run_context, run_values):
    after_run_without_signal(self, run_context, run_values)
    if run_context.session.run(tf.train.get_global_step()) == STEP:
        os.kill(os.getpid(), SIGNAL_NUMBER)


hooks.ProgressHook.after_run = after_run
sys.argv[1:] = sys.argv[3:]
runpy.run_module("albert.run_multigpus_classifier", run_name="__main__", alter_sys=True)
