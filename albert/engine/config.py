"""What a fine-tuning run needs besides its task."""

import dataclasses
from typing import Optional

from albert import modeling
from albert.common.errors import UsageError
from albert.engine import checkpoints


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """What a run needs besides its task; checks itself.

    Attributes:
        albert_config: modeling.AlbertConfig.
        output_dir: folder of checkpoints and results.
        cached_dir: folder of feature files; None for output_dir.
        init_checkpoint: prefix of the pre-trained checkpoint; None trains from scratch.
        discard_classifier_weights: take only the encoder from it.
        train_batch_size, eval_batch_size, predict_batch_size: examples of one replica.
        train_steps, warmup_steps: updates.
        num_devices: devices that share the work.
        strategy_type: "mirror", or "one" for a single device whatever num_devices says.
        device_type: "auto", "gpu" or "cpu".
        all_reduce: "auto", "nccl" or "hierarchical_copy".
        packed_tokens: compute real tokens only, not padding.
    """

    albert_config: modeling.AlbertConfig
    output_dir: str
    cached_dir: Optional[str] = None
    init_checkpoint: Optional[str] = None
    discard_classifier_weights: bool = False
    train_batch_size: int = 32
    eval_batch_size: int = 8
    predict_batch_size: int = 8
    learning_rate: float = 5e-5
    train_steps: int = 1000
    warmup_steps: int = 0
    save_checkpoints_steps: int = 1000
    keep_checkpoint_max: int = 5
    optimizer: str = "adamw"
    strategy_type: str = "mirror"
    num_devices: int = 1
    device_type: str = "auto"
    all_reduce: str = "auto"
    packed_tokens: bool = True
    seed: int = 42

    def __post_init__(self):
        positive = {
            "--train_batch_size": self.train_batch_size,
            "--eval_batch_size": self.eval_batch_size,
            "--predict_batch_size": self.predict_batch_size,
            "--train_step": self.train_steps,
            "--save_checkpoints_steps": self.save_checkpoints_steps,
            "--keep_checkpoint_max": self.keep_checkpoint_max,
            "--num_gpu_cores": self.num_devices,
        }
        for flag, value in positive.items():
            if value < 1:
                raise UsageError(f"{flag}={value} must be 1 or more.")
        if not 0 <= self.warmup_steps <= self.train_steps:
            raise UsageError(
                f"--warmup_step={self.warmup_steps} must be from 0 to "
                f"--train_step={self.train_steps}."
            )
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"--learning_rate={self.learning_rate} must be above 0.")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"--seed={self.seed} must be from 0 to {2**31 - 1}.")
        paths = {"--output_dir": self.output_dir, "--init_checkpoint": self.init_checkpoint}
        for flag, path in paths.items():
            if path and set(path) & set("[\\"):  # it takes them for patterns
                raise UsageError(f"{flag}={path}: TensorFlow cannot read from a path with [ or \\.")
        if self.init_checkpoint and not checkpoints.exists(self.init_checkpoint):
            raise UsageError(
                f"--init_checkpoint={self.init_checkpoint}: there is no such checkpoint "
                "(give the path without .index)."
            )

    @property
    def num_replicas(self):
        """Replicas that train, which share a global batch."""
        return self.num_devices if self.strategy_type == "mirror" else 1

    @property
    def global_batch_size(self):
        """Examples of one update."""
        return self.train_batch_size * self.num_replicas

    @property
    def feature_dir(self):
        """Folder of the feature files."""
        return self.cached_dir or self.output_dir
