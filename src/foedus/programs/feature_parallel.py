"""Linear models divided by features."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.state import State
from foedus.jobs.stages import output_biases
from foedus.programs.model_parallel import ModelParallel, Team, add


@dataclass(frozen=True)
class FeatureParallel(ModelParallel):
    """Gradient descent on a linear model (linear, logistic or softmax regression) of which every node has some columns.

    Node k holds w_k, the weights of its features, and sends z_k = X_k w_k for the rows of the batch. The coordinator,
    which has labels and bias, sends back the residual r = dloss/dz at z = sum_k z_k + b, and node k steps along
    X_k^T r. A step moves 4 B C bytes a node in either direction and 8 for the batch's seed, B rows and C outputs,
    however many features there are. It is gradient descent on the dense model, to rounding. (Boyd et al. 2011,
    https://doi.org/10.1561/2200000016, section 8.3, divide by features in the same way.)

    ``rounds``      commits; before each the parts are collected, for a commit holds and evaluates the dense model.
    ``lr``          learning rate, or a schedule over steps.
    ``batch_size``  rows of a step, or ``None`` for all; every node takes the same, drawn from a seed that it is sent.
    ``steps``       steps of a round.

    The residual travels with the request for the next scores, so that a step is one exchange. A round ends with one
    more, in which the nodes send their w_k: 4 C bytes a feature, which more ``steps`` a round pay less often.
    Errors: ``BadInput`` for a model with more than one layer, for nodes without the same rows, for fewer features than
    nodes.
    """

    async def __call__(self, fed: Federation) -> Tensor:
        team = Team(fed, self.batch_size)
        if len(team.stages) != 1 or team.stages[0].column is not None:
            raise BadInput(
                "FeatureParallel needs a linear model, one layer such as foedus.models.logistic(64, 10); for a stack "
                "of layers use TensorParallel"
            )
        s = await fed.begin(lambda w: State(w=w))
        for t in fed.rounds(self.rounds):
            if t == 0:
                await team.check()
            w = s.w.clone()
            (bias,) = output_biases(team.stages, w)
            residual: dict[str, Tensor] = {}
            lr: float | None = None
            for step in range(t * self.steps, (t + 1) * self.steps):
                batch = await team.draw()
                z_BC = add(await team.forward(0, residual | batch, lr), bias)
                r_BC = await team.gradient(z_BC, batch)
                lr = self.rate(step)
                team.descend(bias, r_BC, lr)
                residual = {"gradient": r_BC}
            await team.collect(w, residual, lr)
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
