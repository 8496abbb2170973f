"""foedus trains one model on many machines, from a cluster in one room to nodes that never let their data out.

>>> import foedus as fd
>>> data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=5, seed=0)
>>> model = fd.Model(fd.models.mlp(64, 32, 10), loss="cross_entropy")
>>> run = fd.train(fd.FedAvg(rounds=3, local=fd.LocalSGD(epochs=2, lr=0.1)), model, data)
>>> run.history[-1].round, run.ledger.bytes_up == 3 * 5 * 4 * model.layout.size
(3, True)
"""

from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus import (
        aggregators,
        data,
        jobs,
        models,
        network,
        optimizers,
        programs,
        report,
        sampling,
        topologies,
        tracking,
        transforms,
    )
    from foedus.aggregators import MajorityVote, Mean, Median, TrimmedMean
    from foedus.core.checkpoint import Checkpoint
    from foedus.core.errors import (
        BadInput,
        Deadlock,
        Diverged,
        FoedusError,
        Interrupted,
        NobodyInTime,
        NodeFailed,
        ProgramError,
        StorageFailed,
        WorkerError,
    )
    from foedus.core.federation import Federation, Reduced
    from foedus.core.job import Job, NodeView, Work
    from foedus.core.keys import Key
    from foedus.core.model import Model
    from foedus.core.peer import Peer
    from foedus.core.policy import Policy
    from foedus.core.run import Record
    from foedus.core.state import State, replace
    from foedus.core.update import Answer, Failed, Late, Lost, Refused, Update
    from foedus.core.version import __version__ as __version__
    from foedus.estimators import FederatedClassifier, FederatedRegressor
    from foedus.jobs import Evaluate, Gradient, LocalSGD
    from foedus.programs import (
        EASGD,
        IFCA,
        QFFL,
        AdPsgd,
        Centralized,
        Choco,
        DelayCompensation,
        Ditto,
        FeatureParallel,
        FedAdagrad,
        FedAdam,
        FedAsync,
        FedAvg,
        FedAvgM,
        FedBN,
        FedBuff,
        FedDyn,
        FedNova,
        FedPer,
        FedProx,
        FedRep,
        FedYogi,
        FineTune,
        Gossip,
        Hierarchical,
        LocalOnly,
        ParameterServer,
        PushSum,
        Scaffold,
        StaleSynchronous,
        SyncSGD,
        TensorParallel,
    )
    from foedus.runtimes import Local, Processes, Simulation
    from foedus.sampling import (
        AfterCommits,
        All,
        Available,
        Budget,
        BySize,
        Deadline,
        Fixed,
        Fraction,
        OverSelect,
        Patience,
        Poisson,
        Quorum,
        Target,
    )
    from foedus.tracking import MLflow, TensorBoard, WandB
    from foedus.training import Run, train
    from foedus.transforms import (
        QSGD,
        Cast,
        Chain,
        Clip,
        Difference,
        ErrorFeedback,
        Gaussian,
        PowerSGD,
        RandomK,
        Sign,
        Ternary,
        TopK,
    )

__all__ = [
    "AdPsgd", "AfterCommits", "All", "Answer", "Available", "BadInput", "Budget", "BySize", "Cast", "Centralized",
    "Chain", "Checkpoint", "Choco", "Clip", "Deadline", "Deadlock", "DelayCompensation", "Difference", "Ditto",
    "Diverged", "EASGD", "ErrorFeedback", "Evaluate", "Failed", "FeatureParallel", "FedAdagrad", "FedAdam",
    "FedAsync", "FedAvg", "FedAvgM", "FedBN", "FedBuff", "FedDyn", "FedNova", "FedPer", "FedProx", "FedRep",
    "FedYogi", "FederatedClassifier", "FederatedRegressor", "Federation", "FineTune", "Fixed", "FoedusError",
    "Fraction", "Gaussian", "Gossip", "Gradient", "Hierarchical", "IFCA", "Interrupted", "Job", "Key", "Late",
    "Local", "LocalOnly", "LocalSGD", "Lost", "MLflow", "MajorityVote", "Mean", "Median", "Model", "NobodyInTime",
    "NodeFailed", "NodeView", "OverSelect", "ParameterServer", "Patience", "Peer", "Poisson", "Policy", "PowerSGD",
    "Processes",
    "ProgramError", "PushSum", "QFFL", "QSGD", "Quorum", "RandomK", "Record", "Reduced", "Refused", "Run", "Scaffold",
    "Sign", "Simulation", "StaleSynchronous", "State", "StorageFailed", "SyncSGD", "Target", "TensorBoard",
    "TensorParallel", "Ternary", "TopK", "TrimmedMean", "Update", "WandB", "Work", "WorkerError", "aggregators",
    "data", "jobs", "models", "network", "optimizers", "programs", "replace", "report", "sampling", "topologies",
    "tracking", "train", "transforms",
]  # fmt: skip

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.aggregators": "MajorityVote Mean Median TrimmedMean",
        "foedus.core.checkpoint": "Checkpoint",
        "foedus.core.errors": (
            "BadInput Deadlock Diverged FoedusError Interrupted NobodyInTime NodeFailed ProgramError "
            "StorageFailed WorkerError"
        ),
        "foedus.core.federation": "Federation Reduced",
        "foedus.core.job": "Job NodeView Work",
        "foedus.core.keys": "Key",
        "foedus.core.model": "Model",
        "foedus.core.peer": "Peer",
        "foedus.core.policy": "Policy",
        "foedus.core.run": "Record",
        "foedus.core.state": "State replace",
        "foedus.core.update": "Answer Failed Late Lost Refused Update",
        "foedus.core.version": "__version__",
        "foedus.estimators": "FederatedClassifier FederatedRegressor",
        "foedus.jobs": "Evaluate Gradient LocalSGD",
        "foedus.programs": (
            "EASGD IFCA QFFL AdPsgd Centralized Choco DelayCompensation Ditto FeatureParallel FedAdagrad FedAdam "
            "FedAsync FedAvg FedAvgM FedBN FedBuff FedDyn FedNova FedPer FedProx FedRep FedYogi FineTune Gossip "
            "Hierarchical LocalOnly ParameterServer PushSum Scaffold StaleSynchronous SyncSGD TensorParallel"
        ),
        "foedus.runtimes": "Local Processes Simulation",
        "foedus.sampling": (
            "AfterCommits All Available Budget BySize Deadline Fixed Fraction OverSelect Patience Poisson Quorum Target"
        ),
        "foedus.tracking": "MLflow TensorBoard WandB",
        "foedus.training": "Run train",
        "foedus.transforms": (
            "QSGD Cast Chain Clip Difference ErrorFeedback Gaussian PowerSGD RandomK Sign Ternary TopK"
        ),
    },
    modules=("aggregators data jobs models network optimizers programs report sampling topologies tracking transforms"),
)
