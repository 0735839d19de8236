"""Says how much disk space the checkpoints of a run take."""

import logging
import math
import os
import shutil
from typing import TYPE_CHECKING

from albert.engine.config import FinetuneConfig

if TYPE_CHECKING:
    from albert.modeling import AlbertConfig

_BYTES_PER_PARAMETER = 3 * 4  # float32: the weight and the two moments that both optimizers keep
_GB = 1e9

_log = logging.getLogger(__name__)


def num_parameters(config: "AlbertConfig") -> int:
    """Returns the number of weights of the encoder; a head adds next to nothing."""
    width, hidden, inner = config.embedding_size, config.hidden_size, config.intermediate_size
    tables = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    embeddings = tables * width + 2 * width  # and a layer norm
    projection = (width + 1) * hidden if width != hidden else 0
    attention = 4 * (hidden + 1) * hidden
    feed_forward = (hidden + 1) * inner + (inner + 1) * hidden
    layer = attention + feed_forward + 4 * hidden  # and two layer norms
    pooler = (hidden + 1) * hidden
    num_layers = config.num_hidden_groups * config.inner_group_num
    return embeddings + projection + num_layers * layer + pooler


def checkpoint_bytes(config: FinetuneConfig) -> int:
    """Returns the size of all checkpoints that a run keeps at once.

    Those are the best one and keep_checkpoint_max numbered ones; one more is written before the
    oldest is deleted. A short run saves fewer: one at the start, and one for every interval begun.
    """
    num_saved = 1 + math.ceil(config.train_steps / config.save_checkpoints_steps)
    num_numbered = min(num_saved, config.keep_checkpoint_max + 1)
    return (num_numbered + 1) * _BYTES_PER_PARAMETER * num_parameters(config.albert_config)


def warn_if_short(config: FinetuneConfig) -> None:
    """Logs a warning if the disk of output_dir, which exists, has no room for all checkpoints."""
    names = [name for name in os.listdir(config.output_dir) if name.startswith("model.ckpt-")]
    present = sum(os.path.getsize(os.path.join(config.output_dir, name)) for name in names)
    missing = checkpoint_bytes(config) - present  # of a run that goes on, some are there
    free = shutil.disk_usage(config.output_dir).free
    if free < missing:
        _log.warning(
            "The checkpoints of this run need %.1f GB, but only %.1f GB are free on the disk of %s:"
            " free some space, or keep fewer.",
            missing / _GB,
            free / _GB,
            config.output_dir,
        )
