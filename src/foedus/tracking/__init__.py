"""Trackers: a run's numbers, commit by commit, into TensorBoard, MLflow or W&B. None by default, and no telemetry."""

from foedus.tracking.mlflow import MLflow
from foedus.tracking.tensorboard import TensorBoard
from foedus.tracking.tracker import About, Mark, OpenTracker, Tracker, settings
from foedus.tracking.trackers import Trackers
from foedus.tracking.wandb import WandB

__all__ = ["About", "MLflow", "Mark", "OpenTracker", "TensorBoard", "Tracker", "Trackers", "WandB", "settings"]
