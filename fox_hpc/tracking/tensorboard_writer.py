"""TensorBoardWriter: what torch's `SummaryWriter` is to a training loop; the curves lie at the server.

Source: torch.utils.tensorboard.SummaryWriter, whose names and arguments these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import RecipeError
from ..metric import Histogram, Text
from . import pictures
from .values import fact, moment, number, point, refuse_given, whole
from .writer import AutoWriter

_FOLDER = "the run's folder at the server has the event files, under tensorboard/<site>/"
_SCALARS = "a value travels as 64 bits and is written as TensorBoard's plain scalar of 32"
_ABSENT = (
    *("add_audio", "add_custom_scalars", "add_custom_scalars_marginchart"),
    *("add_custom_scalars_multilinechart", "add_embedding", "add_graph", "add_image_with_boxes", "add_mesh"),
    *("add_onnx_graph", "add_pr_curve", "add_pr_curve_raw", "add_tensor", "add_video"),
)


class TensorBoardWriter(AutoWriter):
    """Logs as torch's `SummaryWriter` does, one series for each site, at the server.

    Args:
        max_queue, flush_secs: when entries leave this process; see AutoWriter.

    Raises:
        RecipeError: an argument was given that has no effect here.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 1000,
        flush_secs: float = 1.0,
        filename_suffix: str = "",
    ) -> None:
        given = {"log_dir": log_dir, "comment": comment, "filename_suffix": filename_suffix}
        refuse_given("SummaryWriter()", _FOLDER, **given)
        if purge_step is not None:
            raise RecipeError(
                f"SummaryWriter(): purge_step={purge_step!r} has no effect here: points that were "
                "logged stay, those of a second attempt come after them"
            )
        super().__init__(max_queue=max_queue, flush_secs=flush_secs)

    def __getattr__(self, name: str) -> Any:
        words = f"{type(self).__name__} has no {name}"
        raise AttributeError(
            f"{words}: fox-hpc's receivers do not keep that kind" if name in _ABSENT else words
        )

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Log one number: a float, or a numpy or torch value with one element.

        Raises:
            RecipeError: the value is not one number.
        """
        if new_style or double_precision:
            given = {"new_style": new_style, "double_precision": double_precision}
            refuse_given(f"add_scalar({tag!r})", _SCALARS, **given)
        self.write([point(f"add_scalar({tag!r})", tag, scalar_value, global_step, walltime)])

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log several numbers, each on the curve `main_tag/tag` (torch makes a run of each instead)."""
        now, where = moment(walltime), f"add_scalars({main_tag!r})"
        self.write(
            [
                point(f"{where}[{tag!r}]", f"{main_tag}/{tag}", value, global_step, now)
                for tag, value in tag_scalar_dict.items()
            ]
        )

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log a text; TensorBoard shows Markdown."""
        step = whole(f"add_text({tag!r})", global_step)
        self.write([Text(str(tag), str(text_string), step, moment(walltime))])

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Log how an array's values are distributed; they are counted here, and the counts travel."""
        step = whole(f"add_histogram({tag!r})", global_step)
        self.write([pictures.histogram(str(tag), values, bins, max_bins, step, moment(walltime))])

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: float,
        sum: float,
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log a histogram that the caller has counted.

        Raises:
            RecipeError: there are not as many limits as counts.
        """
        where = f"add_histogram_raw({tag!r})"
        limits, counts = [float(one) for one in bucket_limits], [float(one) for one in bucket_counts]
        if len(limits) != len(counts):
            raise RecipeError(f"{where}: {len(counts)} buckets have {len(limits)} limits")
        low, high, count, total, squares = (number(where, one) for one in (min, max, num, sum, sum_squares))
        step = whole(where, global_step)
        parts = low, high, count, total, squares, limits, counts
        self.write([Histogram(str(tag), *parts, step, moment(walltime))])

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Log a picture: whole numbers of 0 to 255 or fractions of 0 to 1; `dataformats` names the axes."""
        step = whole(f"add_image({tag!r})", global_step)
        self.write([pictures.image(str(tag), img_tensor, dataformats, step, moment(walltime))])

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Log several pictures as one, in rows of eight."""
        step = whole(f"add_images({tag!r})", global_step)
        self.write([pictures.image(str(tag), img_tensor, dataformats, step, moment(walltime), many=True)])

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """Log a matplotlib figure, or several as `tag/0` …, and close them unless told not to."""
        step, now = whole(f"add_figure({tag!r})", global_step), moment(walltime)
        several = isinstance(figure, list | tuple)
        for place, one in enumerate(figure if several else [figure]):
            name = f"{tag}/{place}" if several else str(tag)
            self.write([pictures.png_image(name, pictures.figure_png(one), step, now)])
            if close:
                from matplotlib import pyplot

                pyplot.close(one)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Log what the site's run was given, and what it came to (torch makes a run of its own of them)."""
        why = "hyperparameters belong to the site's one run"
        refuse_given("add_hparams()", why, hparam_domain_discrete=hparam_domain_discrete, run_name=run_name)
        now = moment(None)
        facts = [fact("param", name, value) for name, value in hparam_dict.items()]
        points = [
            point(f"add_hparams()[{tag!r}]", tag, value, global_step, now)
            for tag, value in metric_dict.items()
        ]
        self.write([*facts, *points])


#: The same writer, under torch's name for it.
SummaryWriter = TensorBoardWriter
