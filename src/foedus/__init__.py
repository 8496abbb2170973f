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
        attacks,
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
    from foedus.aggregators import (
        ARC,
        CAF,
        CGE,
        MDA,
        NNM,
        RFA,
        SMEA,
        Bucketing,
        Bulyan,
        CenteredClipping,
        FLTrust,
        FoolsGold,
        GeometricMedian,
        Krum,
        MajorityVote,
        MeaMed,
        Mean,
        Median,
        MoNNA,
        MultiKrum,
        NormBound,
        TrimmedMean,
    )
    from foedus.attacks import (
        ALIE,
        IPM,
        Adversary,
        Attack,
        Backdoor,
        CleanLabelNoise,
        Columns,
        ConstrainAndScale,
        Dissensus,
        DistributedBackdoor,
        EdgeCase,
        FreeRider,
        LabelFlip,
        Mimic,
        MinMax,
        MinSum,
        ModelReplacement,
        NotFinite,
        Optimised,
        Patch,
        Scaling,
        SignFlip,
        Sybils,
        WrongShape,
        WrongWeight,
    )
    from foedus.core.coordination.federation import Federation, Phased, Reduced
    from foedus.core.coordination.peer import Message, Peer, Topology
    from foedus.core.coordination.population import Cohort, Drawn, Looks, Population, Selection, TooFew
    from foedus.core.coordination.runtime import Runtime
    from foedus.core.coordination.until import Until
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
    from foedus.core.records.checkpoint import Checkpoint
    from foedus.core.records.history import History
    from foedus.core.records.run import Record
    from foedus.core.time.cost import Always, Availability, Link, Network, Spell
    from foedus.core.types.aggregator import Aggregator, Callability, Denominator, fold
    from foedus.core.types.data import Examples, FederatedDataset
    from foedus.core.types.job import Job, NodeState, NodeView, Parts, Rows, Work
    from foedus.core.types.keys import Key
    from foedus.core.types.metric import Metric
    from foedus.core.types.model import Layout, Model, join
    from foedus.core.types.policy import Asked, Policy
    from foedus.core.types.release import Release, release
    from foedus.core.types.roster import Roster
    from foedus.core.types.state import State, replace
    from foedus.core.types.transform import (
        Contraction,
        Identity,
        Mechanism,
        Sends,
        Sensitivity,
        Shapes,
        Transform,
        holds_numbers,
        nbytes,
        shapes_of,
    )
    from foedus.core.types.update import BUFFERS, Answer, Failed, Late, Lost, Refused, Tensors, Update
    from foedus.core.version import __version__ as __version__
    from foedus.estimators import FederatedClassifier, FederatedRegressor
    from foedus.jobs import Evaluate, Gradient, LocalSGD
    from foedus.optimizers import ServerOptimizer
    from foedus.programs import (
        BASGD,
        EASGD,
        IFCA,
        QFFL,
        AdPsgd,
        Centralized,
        Choco,
        ClippedGossip,
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
        RobustGossip,
        Scaffold,
        StaleSynchronous,
        SyncSGD,
        TensorParallel,
        ZenoPlusPlus,
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
        StopRule,
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
        WorkerMomentum,
    )

__all__ = [
    "ALIE", "ARC", "AdPsgd", "Adversary", "AfterCommits", "Aggregator", "All", "Always", "Answer", "Asked",
    "Attack", "Availability", "Available", "BASGD", "BUFFERS", "Backdoor", "BadInput", "Bucketing", "Budget",
    "Bulyan", "BySize", "CAF", "CGE", "Callability", "Cast", "CenteredClipping", "Centralized", "Chain",
    "Checkpoint", "Choco", "CleanLabelNoise", "Clip", "ClippedGossip", "Cohort", "Columns", "ConstrainAndScale",
    "Contraction", "Deadline", "Deadlock", "DelayCompensation", "Denominator", "Difference", "Dissensus",
    "DistributedBackdoor", "Ditto", "Diverged", "Drawn", "EASGD", "EdgeCase", "ErrorFeedback", "Evaluate",
    "Examples", "FLTrust", "Failed", "FeatureParallel", "FedAdagrad", "FedAdam", "FedAsync", "FedAvg", "FedAvgM",
    "FedBN", "FedBuff", "FedDyn", "FedNova", "FedPer", "FedProx", "FedRep", "FedYogi", "FederatedClassifier",
    "FederatedDataset", "FederatedRegressor", "Federation", "FineTune", "Fixed", "FoedusError", "FoolsGold",
    "Fraction", "FreeRider", "Gaussian", "GeometricMedian", "Gossip", "Gradient", "Hierarchical", "History",
    "IFCA", "IPM", "Identity", "Interrupted", "Job", "Key", "Krum", "LabelFlip", "Late", "Layout", "Link", "Local",
    "LocalOnly", "LocalSGD", "Looks", "Lost", "MDA", "MLflow", "MajorityVote", "MeaMed", "Mean", "Mechanism",
    "Median", "Message", "Metric", "Mimic", "MinMax", "MinSum", "MoNNA", "Model", "ModelReplacement", "MultiKrum",
    "NNM", "Network", "NobodyInTime", "NodeFailed", "NodeState", "NodeView", "NormBound", "NotFinite", "Optimised",
    "OverSelect", "ParameterServer", "Parts", "Patch", "Patience", "Peer", "Phased", "Poisson", "Policy",
    "Population", "PowerSGD", "Processes", "ProgramError", "PushSum", "QFFL", "QSGD", "Quorum", "RFA", "RandomK",
    "Record", "Reduced", "Refused", "Release", "RobustGossip", "Roster", "Rows", "Run", "Runtime", "SMEA",
    "Scaffold", "Scaling", "Selection", "Sends", "Sensitivity", "ServerOptimizer", "Shapes", "Sign", "SignFlip",
    "Simulation", "Spell", "StaleSynchronous", "State", "StopRule", "StorageFailed", "Sybils", "SyncSGD", "Target",
    "TensorBoard", "TensorParallel", "Tensors", "Ternary", "TooFew", "TopK", "Topology", "Transform",
    "TrimmedMean", "Until", "Update", "WandB", "Work", "WorkerError", "WorkerMomentum", "WrongShape",
    "WrongWeight", "ZenoPlusPlus", "aggregators", "attacks", "data", "fold", "holds_numbers", "jobs", "join",
    "models", "nbytes", "network", "optimizers", "programs", "release", "replace", "report", "sampling",
    "shapes_of", "topologies", "tracking", "train", "transforms",
]  # fmt: skip

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.aggregators": (
            "ARC Bucketing Bulyan CAF CGE CenteredClipping FLTrust FoolsGold GeometricMedian Krum MDA "
            "MajorityVote MeaMed Mean Median MoNNA MultiKrum NNM NormBound RFA SMEA TrimmedMean"
        ),
        "foedus.attacks": (
            "ALIE IPM Adversary Attack Backdoor CleanLabelNoise Columns ConstrainAndScale Dissensus "
            "DistributedBackdoor EdgeCase FreeRider LabelFlip Mimic MinMax MinSum ModelReplacement NotFinite Optimised "
            "Patch Scaling SignFlip Sybils WrongShape WrongWeight"
        ),
        "foedus.core.coordination.federation": "Federation Phased Reduced",
        "foedus.core.coordination.peer": "Message Peer Topology",
        "foedus.core.coordination.population": "Cohort Population Drawn Looks Selection TooFew",
        "foedus.core.coordination.runtime": "Runtime",
        "foedus.core.coordination.until": "Until",
        "foedus.core.errors": (
            "BadInput Deadlock Diverged FoedusError Interrupted NobodyInTime NodeFailed ProgramError "
            "StorageFailed WorkerError"
        ),
        "foedus.core.records.checkpoint": "Checkpoint",
        "foedus.core.records.history": "History",
        "foedus.core.records.run": "Record",
        "foedus.core.time.cost": "Always Availability Link Network Spell",
        "foedus.core.types.aggregator": "Aggregator Callability Denominator fold",
        "foedus.core.types.data": "Examples FederatedDataset",
        "foedus.core.types.job": "Job NodeState NodeView Parts Rows Work",
        "foedus.core.types.keys": "Key",
        "foedus.core.types.metric": "Metric",
        "foedus.core.types.model": "Layout Model join",
        "foedus.core.types.policy": "Asked Policy",
        "foedus.core.types.release": "Release release",
        "foedus.core.types.roster": "Roster",
        "foedus.core.types.state": "State replace",
        "foedus.core.types.transform": (
            "Contraction Mechanism Identity Sends Sensitivity Shapes Transform holds_numbers nbytes shapes_of"
        ),
        "foedus.core.types.update": "BUFFERS Answer Failed Late Lost Refused Tensors Update",
        "foedus.core.version": "__version__",
        "foedus.estimators": "FederatedClassifier FederatedRegressor",
        "foedus.jobs": "Evaluate Gradient LocalSGD",
        "foedus.optimizers": "ServerOptimizer",
        "foedus.programs": (
            "BASGD EASGD IFCA QFFL AdPsgd Centralized Choco ClippedGossip DelayCompensation Ditto FeatureParallel "
            "FedAdagrad FedAdam FedAsync FedAvg FedAvgM FedBN FedBuff FedDyn FedNova FedPer FedProx FedRep "
            "FedYogi FineTune Gossip Hierarchical LocalOnly ParameterServer PushSum RobustGossip Scaffold "
            "StaleSynchronous SyncSGD TensorParallel ZenoPlusPlus"
        ),
        "foedus.runtimes": "Local Processes Simulation",
        "foedus.sampling": (
            "AfterCommits All Available Budget BySize Deadline Fixed Fraction OverSelect Patience Poisson "
            "Quorum StopRule Target"
        ),
        "foedus.tracking": "MLflow TensorBoard WandB",
        "foedus.training": "Run train",
        "foedus.transforms": (
            "QSGD Cast Chain Clip Difference ErrorFeedback Gaussian PowerSGD RandomK Sign Ternary TopK WorkerMomentum"
        ),
    },
    modules=(
        "aggregators attacks data jobs models network optimizers programs report sampling topologies tracking "
        "transforms"
    ),
)
