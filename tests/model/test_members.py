"""An ensemble in one model: each member is a network of its own, and what is reported is their mean."""

import torch
from torch import Tensor

from polytask.balancing import MGDA, balanced_backward
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.streams import Batch
from polytask.task import binary, multiclass
from polytask.training.optimizer import Optimizers
from polytask.trunks import MMoE, SharedBottom, Trunk

TASKS = [binary("top"), binary("child", given="top"), multiclass("c", num_classes=3)]
NAN = float("nan")


class Encoder(SingleInput):
    """x, through a linear map."""

    def __init__(self) -> None:
        super().__init__("x", torch.nn.Linear(5, 4).double())
        self.out_features = 4


def make(trunk: Trunk | None = None, *, ensemble: int = 3) -> MultiTaskModel:
    torch.manual_seed(0)
    trunk = trunk or MMoE(4, len(TASKS), num_experts=2, expert_hidden=(6, 5))
    model = MultiTaskModel(Encoder(), trunk, TASKS, tower_hidden=(7,), ensemble=ensemble)
    return model.double()


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    labels = {
        "top": torch.tensor([1.0, 0.0, NAN, 1.0]).double(),
        "child": torch.tensor([0.0, 0.0, NAN, 1.0]).double(),
        "c": torch.tensor([2.0, 0.0, 1.0, NAN]).double(),
    }
    weights = {"c": torch.tensor([1.0, 2.0, 3.0, 4.0]).double()}
    x_BD = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    return Batch({"x": x_BD}, labels, weights)


def alone(model: MultiTaskModel, k: int) -> MultiTaskModel:
    """Member k as a model of one network: its scale is in the encoder, its heads are plain."""
    one = make(ensemble=1)
    state = {
        name: value[k] if name.startswith("heads.") else value
        for name, value in model.state_dict().items()
        if name != "members.scales"
    }
    scale_D = model.members.scales[k]
    state["encoder.module.weight"] = scale_D[:, None] * state["encoder.module.weight"]
    state["encoder.module.bias"] = scale_D * state["encoder.module.bias"]
    one.load_state_dict(state)
    return one.eval()


def test_each_member_is_a_network_of_its_own_and_predictions_are_their_mean() -> None:
    model, batch = make(), make_batch()
    in_training = model.train()(batch.inputs)
    in_evaluation = model.eval()(batch.inputs)
    members = [alone(model, k)(batch.inputs) for k in range(3)]
    for t in range(len(TASKS)):
        own_BKO = torch.stack([member.own[t] for member in members], dim=1)
        torch.testing.assert_close(in_training.own[t].unflatten(0, (4, 3)), own_BKO)
        torch.testing.assert_close(in_evaluation.own[t], own_BKO.mean(dim=1))
    features_BH = torch.stack([member.features[0] for member in members]).mean(dim=0)
    torch.testing.assert_close(in_evaluation.features[0], features_BH)


def test_the_training_loss_is_the_mean_of_the_members_losses() -> None:
    model, batch = make(), make_batch()
    found = model.losses(model.train()(batch.inputs), batch)
    members = [alone(model, k) for k in range(3)]
    each = [member.losses(member(batch.inputs), batch) for member in members]
    expected = torch.stack([torch.stack(losses) for losses in each]).mean(dim=0)
    torch.testing.assert_close(torch.stack(found), expected)


def gradients(model: MultiTaskModel, *, at_seam: bool) -> tuple[Tensor, dict[str, Tensor]]:
    batch = make_batch()
    result = model(batch.inputs)
    losses = model.losses(result, batch)
    step = balanced_backward(losses, MGDA(3), seam=model.seam(result) if at_seam else None)
    return step.weights.shared_T, {name: p.grad for name, p in model.named_parameters()}


def test_the_gradient_is_the_weighted_sum_of_the_exact_ones() -> None:
    for trunk in (SharedBottom(4, 3, hidden=(6,)), None):
        model = make(trunk)
        weights_T, found = gradients(model, at_seam=True)
        model.zero_grad()
        losses = model.losses(model(make_batch().inputs), make_batch())
        shared = [name for name in found if name.startswith(("encoder", "members"))]
        for name in shared:
            parameter = model.get_parameter(name)
            exact = [torch.autograd.grad(loss, parameter, retain_graph=True)[0] for loss in losses]
            expected = sum(weight * gradient for weight, gradient in zip(weights_T, exact))
            torch.testing.assert_close(found[name], expected)
        assert "members.scales" in shared


def test_members_differ_and_only_weights_decay() -> None:
    model = make()
    scales_KD = model.members.scales.detach()
    assert torch.unique(scales_KD, dim=0).shape == scales_KD.shape
    optimizers = Optimizers(model, learning_rate=0.1, weight_decay=0.5)
    plain = {id(p) for p in optimizers.all[0].param_groups[1]["params"]}
    assert {id(model.members.scales), id(model.heads[0].bias)} <= plain
    assert id(model.heads[0].weight) not in plain


def test_one_member_is_the_plain_model() -> None:
    model = make(ensemble=1)
    assert model.members is None
    assert model.heads[0].weight.shape == (1, 7)
