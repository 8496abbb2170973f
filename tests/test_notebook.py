"""The notebook in examples/ runs from top to bottom in a kernel of its own, and its cells show what they should."""

import base64
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

import foedus

FILE = Path(__file__).parents[1] / "examples" / "first_notebook.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook with its outputs, from a kernel of this interpreter's."""
    folder = tmp_path_factory.mktemp("notebook")
    spec = folder / "kernels" / "here"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        f'{{"argv": ["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"], '
        '"display_name": "here", "language": "python"}'
    )
    before = dict(os.environ)
    os.environ |= {
        "JUPYTER_PATH": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(Path(foedus.__file__).parents[1]),
    }
    try:
        notebook = nbformat.read(FILE, as_version=4)
        ExecutePreprocessor(timeout=120, kernel_name="here").preprocess(notebook, {"metadata": {"path": folder}})
    finally:
        os.environ.clear()
        os.environ.update(before)
    return notebook


def outputs(notebook, source):
    """What the cell shows whose source has these words."""
    [cell] = [c for c in notebook.cells if c.cell_type == "code" and source in c.source]
    return cell.outputs


def html(output):
    return output["data"]["text/html"]


def test_the_file_holds_no_outputs_and_is_valid():
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_nothing_is_said_on_standard_error_and_nothing_twice(executed):
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            assert output.output_type in ("display_data", "execute_result"), output
    # Three runs, each with one display of its progress; every cell has one result, or none.
    shown = [len(c.outputs) for c in executed.cells if c.cell_type == "code"]
    assert shown == [1, 1, 2, 1, 1, 3]


def test_progress_is_one_display_that_ends_as_the_run_does(executed):
    progress, _ = outputs(executed, "run = fd.train")
    assert progress.output_type == "display_data"
    assert "25/25" in html(progress)
    assert "finished" in html(progress)
    assert "<progress" in html(progress)
    assert "FedAvg" in progress["data"]["text/plain"]


def test_data_model_and_run_are_told_without_their_numbers(executed):
    [data] = outputs(executed, "fd.data.load")
    assert "1,438 at 20 nodes" in html(data)
    [model] = outputs(executed, "fd.models.mlp")
    assert "2,410 parameters" in html(model)
    _, run = outputs(executed, "run = fd.train")
    assert "FedAvg: finished after 25 rounds" in html(run)
    for output in (data, model, run):
        assert "tensor" not in html(output)
        assert not re.search(r"color:(?!inherit)", html(output))  # the page's own, dark or light
        assert "tensor(" not in output["data"]["text/plain"]


def test_the_plot_is_one_picture(executed):
    [plot] = outputs(executed, "run.plot()")
    assert base64.b64decode(plot["data"]["image/png"]).startswith(b"\x89PNG")
    assert plot["metadata"]["image/png"] == {"width": 768, "height": 312}


def test_the_history_is_a_data_frame(executed):
    [history] = outputs(executed, "to_pandas")
    assert "virtual_s" in html(history)


def test_the_page_stands_in_a_frame_of_its_own(executed):
    page = outputs(executed, "fd.report.page")[-1]
    assert re.fullmatch(r'<iframe srcdoc="[^"]*" sandbox="allow-scripts allow-popups" [^<]*></iframe>', html(page))


def test_it_can_be_made_a_page(executed):
    """As people send notebooks to each other."""
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert "FedAvg: finished after 25 rounds" in page
    kept = os.environ.get("FOEDUS_KEEP_NOTEBOOK")
    if kept:
        Path(kept).write_text(page)
