"""The settings of a fine-tuning run that do not depend on its task."""

import dataclasses
import fractions
import math
import re
from typing import TYPE_CHECKING, Dict, Optional

from albert.cluster.spec import Cluster
from albert.common.errors import UsageError
from albert.engine.task import Change, Setting, settings_of

if TYPE_CHECKING:  # imports TensorFlow, which checking flags does without
    from albert.modeling import AlbertConfig

OPTIMIZERS = ("adamw", "lamb")  # the keys of custom_optimization.OPTIMIZERS
STRATEGY_TYPES = ("one", "mirror", "multi_worker")
DEVICE_TYPES = ("auto", "gpu", "cpu")
ALL_REDUCES = ("auto", "nccl", "hierarchical_copy")
PRECISIONS = ("fp32", "bf16", "fp16")  # the keys of nn.precision.COMPUTE_TYPES
XLA = ("auto", "on", "off")
ON_NAN = ("stop", "skip")
FREEZE = ("none", "embeddings", "encoder")
MAX_SEED = 2**31 - 1
_LARGEST = 2**31 - 1

_CHOICES = {
    "optimizer": OPTIMIZERS,
    "strategy_type": STRATEGY_TYPES,
    "device_type": DEVICE_TYPES,
    "all_reduce": ALL_REDUCES,
    "precision": PRECISIONS,
    "xla": XLA,
    "on_nan": ON_NAN,
    "freeze": FREEZE,
}
# A worker of a cluster may have others than the chief: the same folder under another name.
PATHS = ("output_dir", "cached_dir", "predict_output_dir", "init_checkpoint", "eval_checkpoint")
_POSITIVE = (
    "train_batch_size",
    "eval_batch_size",
    "predict_batch_size",
    "train_steps",
    "save_checkpoints_steps",
    "keep_checkpoint_max",
    "num_devices",
    "gradient_accumulation_steps",
    "eval_steps",
    "early_stopping_patience",
    "max_train_samples",
    "max_eval_samples",
    "max_predict_samples",
)
_SWITCHES = (
    "discard_classifier_weights",
    "init_from_group0",
    "packed_tokens",
    "recompute_activations",
    "bias_correction",
    "deterministic",
)

# {setting: what a start does where it differs from the last one in that output_dir}. The model's
# settings are in `_model_settings`; init_checkpoint is compared by its content.
_CHANGES = {
    "output_dir": Change.ALLOWED,
    "cached_dir": Change.ALLOWED,
    "predict_output_dir": Change.ALLOWED,
    "init_checkpoint": Change.ALLOWED,
    "eval_checkpoint": Change.ALLOWED,
    "discard_classifier_weights": Change.WARNED_IN_TRAINING,
    "init_from_group0": Change.WARNED_IN_TRAINING,
    "train_batch_size": Change.WARNED_IN_TRAINING,
    "eval_batch_size": Change.ALLOWED,
    "predict_batch_size": Change.ALLOWED,
    "learning_rate": Change.WARNED_IN_TRAINING,
    "train_steps": Change.WARNED_IN_TRAINING,
    "warmup_steps": Change.WARNED_IN_TRAINING,
    "start_warmup_step": Change.WARNED_IN_TRAINING,
    "poly_power": Change.WARNED_IN_TRAINING,
    "num_train_epochs": Change.ALLOWED,  # what they make of train_steps and warmup_steps counts
    "warmup_proportion": Change.ALLOWED,
    "save_checkpoints_steps": Change.ALLOWED,
    "keep_checkpoint_max": Change.ALLOWED,
    "eval_steps": Change.ALLOWED,
    "early_stopping_patience": Change.ALLOWED,
    "optimizer": Change.REFUSED_IN_TRAINING,
    "strategy_type": Change.ALLOWED,
    "num_devices": Change.ALLOWED,
    "device_type": Change.ALLOWED,
    "all_reduce": Change.ALLOWED,
    "packed_tokens": Change.ALLOWED,
    "seed": Change.REFUSED_IN_TRAINING,
    "max_train_samples": Change.WARNED_IN_TRAINING,
    "max_eval_samples": Change.ALLOWED,  # other data, see run_identity
    "max_predict_samples": Change.ALLOWED,
    "bias_correction": Change.WARNED_IN_TRAINING,
    "layerwise_lr_decay": Change.WARNED_IN_TRAINING,
    "freeze": Change.REFUSED_IN_TRAINING,  # a checkpoint has no moments of what was frozen
    "precision": Change.REFUSED_IN_TRAINING,
    "xla": Change.ALLOWED,
    "loss_scale": Change.ALLOWED,
    "on_nan": Change.ALLOWED,
    "gradient_accumulation_steps": Change.WARNED_IN_TRAINING,
    "recompute_activations": Change.ALLOWED,
    "deterministic": Change.ALLOWED,
}


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """The settings of a run that do not depend on its task.

    Every field is checked at construction; no file is read.

    Attributes:
        output_dir: folder of checkpoints and results.
        cached_dir: folder of feature files; None means output_dir.
        predict_output_dir: folder of the predictions; None means output_dir, or a folder in it for
            data other than the run's own.
        init_checkpoint: prefix of the pre-trained checkpoint; None trains from scratch.
        eval_checkpoint: prefix of the checkpoint to evaluate and to predict with, in place of the
            best in output_dir.
        discard_classifier_weights: load only the encoder from it.
        init_from_group0: load group 0 of its layers into the groups that it does not have.
        train_batch_size: examples per replica, in one micro-batch.
        eval_batch_size, predict_batch_size: examples that a device takes at a time; None for as
            many as suit it.
        learning_rate: peak of the schedule.
        train_steps, warmup_steps: numbers of updates.
        start_warmup_step: the update that warm-up counts from.
        poly_power: the power of the learning rate's decay; 1 is linear.
        num_train_epochs: if given, decides train_steps as soon as the examples have been counted.
        warmup_proportion: likewise the share of the updates that are warm-up; see `with_updates`.
        save_checkpoints_steps: updates between checkpoints.
        keep_checkpoint_max: how many numbered checkpoints to keep.
        eval_steps: updates between two checkpoints that are evaluated, a multiple of
            save_checkpoints_steps; None for every checkpoint. The last one always is.
        early_stopping_patience: training stops after so many evaluations in a row, at their
            interval, that have not improved the best metric; None to go on.
        optimizer: one of OPTIMIZERS.
        strategy_type: "mirror"; "multi_worker" to train on all workers of a cluster; or "one" to
            train on a single device whatever num_devices is.
        cluster: of multi_worker.
        num_devices: how many devices share the work, on each worker.
        device_type: one of DEVICE_TYPES.
        all_reduce: one of ALL_REDUCES.
        packed_tokens: compute only real tokens, not padding.
        seed: determines initial weights, data order and dropout.
        max_train_samples, max_eval_samples, max_predict_samples: how many of the first examples of
            each such split to use; None for all.
        bias_correction: of the optimizer's moments, see custom_optimization.update.
        layerwise_lr_decay: the learning rate is multiplied by it once for every step down from the
            head, see modeling.depth_of.
        freeze: one of FREEZE. "embeddings" keeps these and their projection as they are, "encoder"
            everything that is pre-trained, the pooler included.
        precision: one of PRECISIONS, of products and activations.
        xla: one of XLA, see devices.uses_xla.
        loss_scale: a fixed one for fp16; None adapts it to the gradients.
        on_nan: one of ON_NAN, what to do where a gradient is not finite in fp32 or bf16.
        gradient_accumulation_steps: micro-batches of one update on each replica.
        recompute_activations: see AlbertModel.
        deterministic: whether GPUs are to compute the same bits in every run, as CPUs do.

    Raises:
        UsageError: a value is not allowed.
    """

    albert_config: "AlbertConfig"
    output_dir: str
    cached_dir: Optional[str] = None
    predict_output_dir: Optional[str] = None
    init_checkpoint: Optional[str] = None
    eval_checkpoint: Optional[str] = None
    discard_classifier_weights: bool = False
    init_from_group0: bool = False
    train_batch_size: int = 32
    eval_batch_size: Optional[int] = None
    predict_batch_size: Optional[int] = None
    learning_rate: float = 5e-5
    train_steps: int = 1000
    warmup_steps: int = 0
    start_warmup_step: int = 0
    poly_power: float = 1.0
    num_train_epochs: Optional[float] = None
    warmup_proportion: Optional[float] = None
    save_checkpoints_steps: int = 1000
    keep_checkpoint_max: int = 5
    eval_steps: Optional[int] = None
    early_stopping_patience: Optional[int] = None
    optimizer: str = "adamw"
    strategy_type: str = "mirror"
    cluster: Optional[Cluster] = None
    num_devices: int = 1
    device_type: str = "auto"
    all_reduce: str = "auto"
    packed_tokens: bool = True
    seed: int = 42
    max_train_samples: Optional[int] = None
    max_eval_samples: Optional[int] = None
    max_predict_samples: Optional[int] = None
    bias_correction: bool = False
    layerwise_lr_decay: float = 1.0
    freeze: str = "none"
    precision: str = "fp32"
    xla: str = "auto"
    loss_scale: Optional[float] = None
    on_nan: str = "stop"
    gradient_accumulation_steps: int = 1
    recompute_activations: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_updates()
        for name in ("learning_rate", "poly_power", "loss_scale"):
            value = getattr(self, name)
            is_number = isinstance(value, float) or _is_integer(value)
            is_left_out = value is None and name == "loss_scale"
            if not is_left_out and not (is_number and 0 < value < math.inf):
                raise UsageError(f"<{name}> must be above 0.", **{name: value})
        decay = self.layerwise_lr_decay
        if not (isinstance(decay, float) or _is_integer(decay)) or not 0 < decay <= 1:
            raise UsageError(
                "<layerwise_lr_decay> must be above 0 and at most 1.", layerwise_lr_decay=decay
            )
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise UsageError(f"<{name}> must be one of {', '.join(allowed)}.", **{name: value})
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"<{name}> must be True or False.", **{name: getattr(self, name)})
        if self.loss_scale is not None and self.precision != "fp16":
            raise UsageError(
                "<loss_scale> is for fp16, and not for <precision>.",
                loss_scale=self.loss_scale,
                precision=self.precision,
            )
        if (self.cluster is not None) != (self.strategy_type == "multi_worker"):
            raise UsageError(
                "<strategy_type>: a cluster is what multi_worker needs, and nothing else takes.",
                strategy_type=self.strategy_type,
            )
        self._check_paths()

    def _check_counts(self) -> None:
        optional = {field.name for field in dataclasses.fields(self) if field.default is None}
        unset = [name for name in optional if getattr(self, name) is None]
        positive = [name for name in _POSITIVE if name not in unset]
        for name in (*positive, "warmup_steps", "start_warmup_step", "seed"):
            if not _is_integer(getattr(self, name)):
                raise UsageError(f"<{name}> must be a whole number.", **{name: getattr(self, name)})
        for name in positive:
            if getattr(self, name) < 1:
                raise UsageError(f"<{name}> must be 1 or more.", **{name: getattr(self, name)})
            if getattr(self, name) > _LARGEST:
                raise UsageError(
                    f"<{name}> must be at most {_LARGEST}.", **{name: getattr(self, name)}
                )
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"<seed> must be from 0 to {MAX_SEED}.", seed=self.seed)

    def _check_updates(self) -> None:
        epochs, share = self.num_train_epochs, self.warmup_proportion
        if epochs is not None and not 0 < epochs < math.inf:
            raise UsageError("<num_train_epochs> must be above 0.", num_train_epochs=epochs)
        if share is not None and not 0 <= share <= 1:
            raise UsageError("<warmup_proportion> must be from 0 to 1.", warmup_proportion=share)
        is_known = epochs is None and share is None  # the number of updates, and of warm-up
        largest = self.train_steps if is_known else _LARGEST
        if not 0 <= self.warmup_steps <= largest:
            raise UsageError(
                "<warmup_steps> must be from 0 to <train_steps>.",
                warmup_steps=self.warmup_steps,
                train_steps=self.train_steps if epochs is None else None,
            )
        if not 0 <= self.start_warmup_step <= _LARGEST:
            raise UsageError(
                f"<start_warmup_step> must be from 0 to {_LARGEST}.",
                start_warmup_step=self.start_warmup_step,
            )
        if self.evaluation_interval % self.save_checkpoints_steps:
            raise UsageError(
                "<eval_steps> must be a multiple of <save_checkpoints_steps>.",
                eval_steps=self.eval_steps,
                save_checkpoints_steps=self.save_checkpoints_steps,
            )

    def _check_paths(self) -> None:
        if not isinstance(self.output_dir, str) or not self.output_dir:
            raise UsageError("<output_dir> must name a folder.", output_dir=self.output_dir)
        for name in PATHS[1:]:
            path = getattr(self, name)
            if path is not None and not isinstance(path, str):
                raise UsageError(f"<{name}> must be a path.", **{name: path})
        for name in ("output_dir", "init_checkpoint", "eval_checkpoint"):
            path = getattr(self, name)
            if path and set(path) & set("[\\"):  # TensorFlow treats them as glob patterns
                raise UsageError(
                    f"<{name}>: TensorFlow cannot read from a path with [ or \\.", **{name: path}
                )

    @property
    def num_replicas(self) -> int:
        """How many replicas share a global batch in training."""
        return self.num_local_replicas * self.num_workers

    @property
    def num_local_replicas(self) -> int:
        """How many of them this process trains."""
        return 1 if self.strategy_type == "one" else self.num_devices

    @property
    def num_workers(self) -> int:
        """How many processes train together."""
        return len(self.cluster.hosts) if self.cluster else 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and results, evaluates and predicts."""
        return self.cluster is None or self.cluster.is_chief

    @property
    def global_batch_size(self) -> int:
        """Examples per update."""
        return self.replica_batch_size * self.num_replicas

    @property
    def replica_batch_size(self) -> int:
        """Examples per update on each replica, in all its micro-batches."""
        return self.train_batch_size * self.gradient_accumulation_steps

    @property
    def evaluation_interval(self) -> int:
        """Updates between two evaluations."""
        return self.eval_steps or self.save_checkpoints_steps

    @property
    def feature_dir(self) -> str:
        """The folder of the feature files."""
        return self.cached_dir or self.output_dir

    def run_settings(self) -> Dict[str, Setting]:
        """Returns {name: Setting}, for run_identity."""
        of_model, shown = self.albert_config.to_dict(), "{} of <albert_config_file>"
        fixed = {name: of_model.pop(name) for name in (*self.albert_config.sizes(), "hidden_act")}
        replicas = {"num_replicas": self.num_replicas}  # the cluster counts by it alone
        return {
            **settings_of(of_model, Change.WARNED_IN_TRAINING, shown),
            **settings_of(fixed, Change.REFUSED, shown),
            **settings_of(replicas, Change.WARNED_IN_TRAINING),
            **{
                name: Setting(getattr(self, name), change, f"<{name}>")
                for name, change in _CHANGES.items()
            },
        }

    def with_updates(self, num_examples: int) -> "FinetuneConfig":
        """Returns the config with numbers of updates in place of epochs and of a share of them.

        Args:
            num_examples: in an epoch. An update takes a global batch of them.

        Raises:
            UsageError: there are more than train_steps updates of warm-up.
        """
        steps, warmup_steps = self.train_steps, self.warmup_steps
        if self.num_train_epochs is not None:
            # Of the decimal that the user wrote: 110 * 1.1 is above 121 in binary.
            share = fractions.Fraction(str(self.num_train_epochs)) / self.global_batch_size
            steps = math.ceil(num_examples * share)
        if self.warmup_proportion is not None:
            warmup_steps = int(steps * fractions.Fraction(str(self.warmup_proportion)))
        return dataclasses.replace(
            self,
            train_steps=steps,
            warmup_steps=warmup_steps,
            num_train_epochs=None,
            warmup_proportion=None,
        )


def checkpoint_prefix(path: str) -> str:
    """Returns a checkpoint's path without the suffix of any of its files."""
    return re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path)


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)
