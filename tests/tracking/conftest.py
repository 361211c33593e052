"""Neither MLflow nor W&B may call home from a test; both read that when they are imported."""

from __future__ import annotations

import os

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", WANDB_ERROR_REPORTING="false", WANDB_SILENT="true"
)
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY"):
    os.environ.pop(name, None)
