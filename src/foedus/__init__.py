"""foedus trains one model on many machines, from a cluster in one room to nodes that never let their data out.

>>> import foedus as fd
>>> data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=5, seed=0)
>>> model = fd.Model(fd.models.mlp(64, 32, 10), loss="cross_entropy")
>>> run = fd.train(fd.FedAvg(rounds=3, local=fd.LocalSGD(epochs=2, lr=0.1)), model, data)
>>> run.history[-1].round, run.ledger.bytes_up == 3 * 5 * 4 * model.layout.size
(3, True)
"""

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
from foedus.core.origin import foedus_version
from foedus.core.peer import Peer
from foedus.core.policy import Policy
from foedus.core.run import Record
from foedus.core.state import State, replace
from foedus.core.update import Answer, Failed, Late, Lost, Refused, Update
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
from foedus.train import Run, train
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

__version__ = foedus_version()

__all__ = [
    "AdPsgd", "AfterCommits", "All", "Answer", "Available", "BadInput", "Budget", "BySize", "Cast", "Centralized",
    "Chain", "Checkpoint", "Choco", "Clip", "Deadline", "Deadlock", "DelayCompensation", "Difference", "Ditto",
    "Diverged", "EASGD", "ErrorFeedback", "Evaluate", "Failed", "FeatureParallel", "FedAdagrad", "FedAdam",
    "FedAsync", "FedAvg", "FedAvgM", "FedBN", "FedBuff", "FedDyn", "FedNova", "FedPer", "FedProx", "FedRep",
    "FedYogi", "FederatedClassifier", "FederatedRegressor", "Federation", "FineTune", "Fixed", "FoedusError",
    "Fraction", "Gaussian", "Gossip", "Gradient", "Hierarchical", "IFCA", "Interrupted", "Job", "Key", "Late",
    "Local", "LocalOnly", "LocalSGD", "Lost", "MLflow", "MajorityVote", "Mean", "Median", "Model", "NobodyInTime",
    "NodeFailed", "NodeView", "OverSelect", "ParameterServer", "Patience", "Peer", "Poisson", "Policy",
    "PowerSGD", "Processes",
    "ProgramError", "PushSum", "QFFL", "QSGD", "Quorum", "RandomK", "Record", "Reduced", "Refused", "Run", "Scaffold",
    "Sign", "Simulation", "StaleSynchronous", "State", "StorageFailed", "SyncSGD", "Target", "TensorBoard",
    "TensorParallel", "Ternary", "TopK", "TrimmedMean", "Update", "WandB", "Work", "WorkerError", "aggregators",
    "data", "jobs", "models", "network", "optimizers", "programs", "replace", "report", "sampling", "topologies",
    "tracking", "train", "transforms",
]  # fmt: skip


def __getattr__(name: str) -> object:  # scikit-learn is slow to import
    if name in ("FederatedClassifier", "FederatedRegressor"):
        from foedus import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'foedus' has no attribute {name!r}")
