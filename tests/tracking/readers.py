"""What the libraries hold, read back: name -> list of (step, value)."""

import json
import struct
from collections import defaultdict

from foedus.tracking.mlflow import _manners


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, TENSORS: 0}).Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def tensorboard_text(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    return read.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


def mlflow(uri, experiment="foedus"):
    """``[(run, its curves)]``."""
    with _manners():
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=str(uri), registry_uri=str(uri))
        runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
        return [
            (
                run,
                {
                    k: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, k))
                    for k in run.data.metrics
                },
            )
            for run in runs
        ]


def _wandb_records(path):
    """W&B's file is LevelDB's log format: blocks of 32 KiB of records, each (crc, length, kind) and a piece."""
    from wandb.proto import wandb_internal_pb2 as pb

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, n, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + n]
        at += 7 + n
        if kind in (1, 4):  # whole, or the last piece
            record = pb.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def wandb(folder):
    """``(ids, curves, summary, everything)`` of all offline runs in a folder, in the order of their start."""
    import wandb

    wandb.teardown()  # waits for the process that writes the files
    ids, curves, summary, text = [], defaultdict(list), {}, ""
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda p: p.stat().st_mtime):
        for r in _wandb_records(path):
            text += str(r)
            kind = r.WhichOneof("record_type")
            if kind == "run":
                ids.append(r.run.run_id)
            elif kind == "history":
                for item in r.history.item:
                    curves["".join(item.nested_key)].append((r.history.step.num, json.loads(item.value_json)))
            elif kind == "summary":
                for item in r.summary.update:
                    summary[".".join([item.key, *item.nested_key]).strip(".")] = json.loads(item.value_json)
    return ids, dict(curves), summary, text
