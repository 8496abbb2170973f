"""A perceptron divided inside its layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.types.state import State
from foedus.jobs.stages import output_biases
from foedus.programs.model_parallel import ModelParallel, Team, add


@dataclass(frozen=True)
class TensorParallel(ModelParallel):
    """Gradient descent on a perceptron whose layers are divided (Shoeybi et al. 2019, arXiv:1909.08053, section 3).

    Of a pair of layers, relu(x A + a) B + b, node k has columns A_k (some hidden units, with a_k) and the rows B_k of
    the same units: relu(x A_k + a_k) B_k is its summand, and one sum over the nodes is the pair's output (the paper's
    g). Backwards one more sum gives the gradient of the pair's input (the paper's f); the first pair's input is data
    and needs none. The coordinator sums, adds b once, and has the labels. It is gradient descent on the dense model, to
    rounding.

    ``rounds``      commits; before each the parts are collected, for a commit holds and evaluates the dense model.
    ``lr``          learning rate, or a schedule over steps.
    ``batch_size``  rows of a step, or ``None`` for all; every node takes the same, drawn from a seed that it is sent.
    ``steps``       steps of a round.

    With an odd number of layers the first is alone and divided by features, as in ``FeatureParallel``. The last
    gradient of a step travels with the request that begins the next, so that m stages take 2 m - 1 exchanges a step,
    and one more a round, in which the nodes send their parts.
    Errors: ``BadInput`` for a model that is no stack of dense layers with ReLU between them, for nodes without the same
    rows, for fewer hidden units (or features) than nodes.
    """

    async def __call__(self, fed: Federation) -> Tensor:
        team = Team(fed, self.batch_size)
        last = len(team.stages) - 1
        s = await fed.begin(lambda w: State(w=w))
        for t in fed.rounds(self.rounds):
            if t == 0:
                await team.check()
            w = s.w.clone()
            biases = output_biases(team.stages, w)
            owed: dict[str, Tensor] = {}
            lr: float | None = None
            for step in range(t * self.steps, (t + 1) * self.steps):
                batch = await team.draw()
                outputs = [add(await team.forward(0, owed | batch, lr), biases[0])]
                for i in range(1, last + 1):
                    outputs.append(add(await team.forward(i, {"input": outputs[-1].relu()}), biases[i]))
                lr = self.rate(step)
                g = await team.gradient(outputs[last], batch)
                for i in range(last, 0, -1):
                    team.descend(biases[i], g, lr)
                    g = await team.backward(i, g, lr) * (outputs[i - 1] > 0)
                team.descend(biases[0], g, lr)
                owed = {"gradient": g}
            await team.collect(w, owed, lr)
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
