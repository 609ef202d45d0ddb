"""A figure that a cell returns is drawn, though no pyplot is loaded."""

from cpi_experiments.figures.forest import ForestRow, forest


def test_a_returned_figure_draws_itself_as_png():
    figure = forest([ForestRow(label="a", experiment=(1.0, 0.5, 1.5))], title="t", axis_label="x")
    assert figure._repr_png_().startswith(b"\x89PNG")
