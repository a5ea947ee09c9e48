"""Problem set 5: its test cells and their points, and mistakes a student would make (see `coursework`)."""

from coursework import faults_of

MANUAL = ("report-answer",)
POINTS = {
    "hidden-references": 0,
    "hidden-gradients": 0,
    "last-visible-test": 1,
    "last-values-test": 2,
    "last-samples-test": 1,
    "last-steps-test": 1,
    "leak-visible-test": 1,
    "leak-across-test": 1,
    "leak-deaf-test": 1,
    "leak-padding-test": 1,
    "pack-visible-test": 1,
    "pack-values-test": 2,
    "pack-padding-test": 1,
    "mask-visible-test": 1,
    "mask-logits-test": 1,
    "mask-padding-test": 2,
    "updates-visible-test": 1,
    "updates-norms-test": 1,
    "updates-clipped-test": 1,
    "updates-fresh-test": 1,
    "stream-visible-test": 1,
    "stream-losses-test": 1,
    "stream-grads-test": 2,
    "split-visible-test": 1,
    "split-shuffled-test": 1,
    "split-seeded-test": 1,
    "train-visible-test": 1,
    "train-accuracy-test": 3,
    "train-seeded-test": 1,
    "train-evaluation-test": 1,
    "train-samples-test": 1,
    "train-steps-test": 1,
    "effects-samples-test": 1,
    "effects-updates-test": 1,
    "effects-softmax-test": 1,
    "effects-padding-test": 1,
    "report-answer": 5,
}

LAST = "output[:, -1, :].detach()"
PACKED = """packed = nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    _, (h, _) = lstm(packed)
    return h[-1]"""
SORTED = """order = np.argsort(-lengths)
    packed = nn.utils.rnn.pack_padded_sequence(torch.tensor(x[order]), torch.tensor(lengths[order]), batch_first=True)
    _, (h, _) = lstm(packed)
    return h[-1]"""
REAL = "torch.tensor(logits[real]), torch.tensor(y[real])"
EVERY = "torch.tensor(logits).flatten(0, 1), torch.tensor(y).flatten()"
CLIP = "nn.utils.clip_grad_norm_(params, max_norm).item()"
NORM = "nn.utils.get_total_norm([p.grad for p in params]).item()"
BACKWARD = """((model(x) - y) ** 2).mean().backward()
        norms.append(nn.utils.clip_grad_norm_(params, max_norm).item())
        optimizer.step()"""
CLIPPED_LATE = f"""((model(x) - y) ** 2).mean().backward()
        optimizer.step()
        norms.append({CLIP})"""
CLIPPED_EARLY = f"""norms.append({CLIP})
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()"""
BY_VALUE = f"norms.append({NORM})\n        nn.utils.clip_grad_value_(params, max_norm)"
EACH_ALONE = f"norms.append({NORM})\n        [nn.utils.clip_grad_norm_([p], max_norm) for p in params]"
AFTERWARDS = f"nn.utils.clip_grad_norm_(params, max_norm)\n        norms.append({NORM})"
RETAINED = "loss.backward(retain_graph=True)\n        losses.append(loss.item())"
DETACHED = "tuple(part.detach() for part in state)"
SHORT = "for x_k, y_k in zip(torch.tensor(x).split(k, dim=1), torch.tensor(y).split(k, dim=1), strict=True):\n"
PERMUTATION = "np.random.default_rng(seed).permutation(len(y))"
PACKS = "packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)"
STATE = "self.lstm(packed)[1][0][-1]"
READ = f"        {PACKS}\n        return self.readout(self.dropout({STATE}))"
SEEDED = "torch.manual_seed(seed)\n    model, losses = Classifier(), []"
FAULTS = [
    *faults_of(
        "last",
        ("batch_first forgotten", "D, H, batch_first=True", "D, H", "visible values samples steps"),
        ("first step", LAST, "output[:, 0, :].detach()", "values steps"),
        ("mean over the steps", LAST, "output.mean(dim=1).detach()", "values"),
        ("last sample", LAST, "output[-1, :, :].detach()", "visible values samples steps"),
        (
            "memory for state",
            "output, _ = lstm(torch.tensor(x))\n    return output[:, -1, :]",
            "_, (h, c) = lstm(torch.tensor(x))\n    return c[-1]",
            "values",
        ),
        ("samples normalized together", LAST, "(output[:, -1] - output[:, -1].mean(dim=0)).detach()", "values samples"),
    ),
    *faults_of(
        "leak",
        (
            "sign forgotten",
            "np.abs(disturbed - outputs).max(axis=-1)",
            "(disturbed - outputs).max(axis=-1)",
            "across deaf padding",
        ),
        (
            "signed mean over the units",
            "np.abs(disturbed - outputs).max(axis=-1)",
            "(disturbed - outputs).sum(axis=-1)",
            "across deaf padding",
        ),
        ("any change at all", "> 1e-6", "> 0", "across"),
        ("own sample not left out", "moved & ~np.eye(B, dtype=bool)[:, None, :]", "moved", "visible across"),
        ("leak at every step only", "others.any()", "others.all(axis=1).any()", "visible across"),
        ("deaf at every step only", "(real & ~own).any()", "(real & ~own).all(axis=1).any()", "deaf"),
        ("padding taken for deafness", "(real & ~own).any()", "(~own).any()", "visible deaf"),
        ("lengths ignored", "(own & ~real).any()", "False", "padding"),
        (
            "last real step taken for padding",
            "(own & ~real)",
            "(own & (np.arange(T) >= np.asarray(lengths)[:, None] - 1))",
            "visible padding",
        ),
        ("others' padding too", "(own & ~real).any()", "(moved.any(axis=2) & ~real).any()", "padding"),
    ),
    *faults_of(
        "pack",
        ("last step of the padded batch", PACKED, "return lstm(torch.tensor(x))[0][:, -1]", "visible values padding"),
        ("sorted and not sorted back", PACKED, SORTED, "visible values"),
        (
            "one step late",
            PACKED,
            "last = np.minimum(lengths, x.shape[1] - 1)\n    return lstm(torch.tensor(x))[0][np.arange(len(x)), last]",
            "visible values padding",
        ),
        (
            "one step early",
            PACKED,
            "last = np.maximum(lengths - 2, 0)\n    return lstm(torch.tensor(x))[0][np.arange(len(x)), last]",
            "visible values",
        ),
        (
            "length of the first sample for all",
            PACKED,
            "return lstm(torch.tensor(x))[0][:, lengths[0] - 1]",
            "visible values padding",
        ),
        (
            "states summed with padding masked late",
            PACKED,
            "real = torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]\n"
            "    return (lstm(torch.tensor(x))[0] * real[..., None]).sum(dim=1)",
            "visible values",
        ),
    ),
    *faults_of(
        "mask",
        (
            "softmax before cross_entropy",
            "torch.tensor(logits[real])",
            "torch.tensor(logits[real]).softmax(dim=-1)",
            "visible logits",
        ),
        ("padding counted", REAL, EVERY, "visible padding"),
        (
            "masked sum over all steps",
            f"nn.functional.cross_entropy({REAL})",
            f"(nn.functional.cross_entropy({EVERY}, reduction='none') * torch.tensor(real.ravel())).mean()",
            "visible padding",
        ),
        (
            "mean of the samples' means",
            f"nn.functional.cross_entropy({REAL}).item()",
            "np.mean([nn.functional.cross_entropy(torch.tensor(a[:n]), torch.tensor(b[:n])).item()\n"
            "                    for a, b, n in zip(logits, y, lengths, strict=True)])",
            "padding",
        ),
        ("one step of padding counted", "< np.asarray(lengths)", "<= np.asarray(lengths)", "visible padding"),
        (
            "sum over the steps",
            f"cross_entropy({REAL})",
            f"cross_entropy({REAL}, reduction='sum')",
            "visible logits padding",
        ),
        ("sum over the samples", ".item()", ".item() * len(y)", "logits padding"),
        ("steps and samples exchanged", REAL, f"{REAL.replace('y[real]', 'y.T[real.T]')}", "logits padding"),
    ),
    *faults_of(
        "updates",
        ("zero_grad forgotten", "        optimizer.zero_grad()\n", "", "fresh"),
        ("clip with an exhausted generator", "list(model.parameters())", "model.parameters()", "visible norms clipped"),
        ("clip before backward", BACKWARD, CLIPPED_EARLY, "visible norms clipped"),
        ("clip after the step", BACKWARD, CLIPPED_LATE, "visible clipped"),
        ("clip by value", f"norms.append({CLIP})", BY_VALUE, "clipped"),
        ("each array clipped alone", f"norms.append({CLIP})", EACH_ALONE, "clipped"),
        ("norm after clipping", f"norms.append({CLIP})", AFTERWARDS, "visible norms"),
        ("no clip", CLIP, NORM, "visible clipped"),
        (
            "only the LSTM's gradient clipped",
            CLIP,
            CLIP.replace("params", "model.lstm.parameters()"),
            "visible norms clipped",
        ),
        ("sum over the batch", ".mean().backward()", ".sum().backward()", "norms fresh"),
        ("Adam", "optim.SGD", "optim.Adam", "clipped fresh"),
        (
            "always rescaled",
            f"norms.append({CLIP})",
            f"norms.append({NORM})\n        [p.grad.mul_(max_norm / norms[-1]) for p in params]",
            "fresh",
        ),
    ),
    *faults_of(
        "stream",
        ("state forgotten", "state = tuple(part.detach() for part in state)", "state = None", "losses grads"),
        (
            "graph retained",
            "loss.backward()\n        losses.append(loss.item())\n        state = " + DETACHED,
            RETAINED,
            "grads",
        ),
        (
            "only h detached",
            "loss.backward()\n        losses.append(loss.item())\n        state = " + DETACHED,
            f"{RETAINED}\n        state = state[0].detach(), state[1]",
            "grads",
        ),
        ("only h carried", DETACHED, "state[0].detach(), torch.zeros_like(state[1])", "losses grads"),
        (
            "gradient of the last window",
            "        output, state = model",
            "        model.zero_grad()\n        output, state = model",
            "visible grads",
        ),
        (
            "short window dropped",
            SHORT,
            SHORT + "        if x_k.shape[1] < k:\n            continue\n",
            "visible losses grads",
        ),
        (
            "windows counted from the end",
            "torch.tensor(x).split(k, dim=1), torch.tensor(y).split(k, dim=1)",
            "*(torch.tensor(a).split([x.shape[1] % k] * (x.shape[1] % k > 0) + [k] * (x.shape[1] // k), dim=1)\n"
            "                           for a in (x, y))",
            "visible losses grads",
        ),
    ),
    *faults_of(
        "split",
        ("validation on training data", "return order[n:], order[:n]", "return order, order[:n]", "visible"),
        ("cut off the end", PERMUTATION, "np.arange(len(y))", "shuffled seeded"),
        ("seed ignored", "default_rng(seed)", "default_rng()", "seeded"),
        ("seed fixed", "default_rng(seed)", "default_rng(0)", "seeded"),
        ("parts exchanged", "return order[n:], order[:n]", "return order[:n], order[n:]", "visible"),
        ("drawn with replacement", PERMUTATION, "np.random.default_rng(seed).integers(len(y), size=len(y))", "visible"),
        ("share rounded up", "round(share * len(y))", "int(share * len(y)) + 1", "visible"),
    ),
    *faults_of(
        "train",
        ("seed ignored", "    torch.manual_seed(seed)\n", "", "seeded"),
        ("seed fixed", "torch.manual_seed(seed)", "torch.manual_seed(0)", "seeded"),
        (
            "model made before the seed is set",
            SEEDED,
            "model, losses = Classifier(), []\n    torch.manual_seed(seed)",
            "seeded",
        ),
        (
            "labels not shuffled along",
            "model(x[i], lengths[i]), y[i]",
            "model(x[i], lengths[i]), y[: len(i)]",
            "accuracy",
        ),
        ("learning rate far too small", "lr=0.02", "lr=1e-5", "visible accuracy"),
        (
            "softmax before cross_entropy",
            "model(x[i], lengths[i]), y[i]",
            "model(x[i], lengths[i]).softmax(dim=-1), y[i]",
            "visible",
        ),
    ),
    *faults_of(
        "train",
        ("padding read", READ, "        return self.readout(self.dropout(self.lstm(x)[0][:, -1]))", "samples"),
        ("first state read", READ, "        return self.readout(self.dropout(self.lstm(x)[0][:, 0]))", "steps"),
        part="model",
    ),
    *faults_of(
        "train",
        ("dropout active in predict", "    model.eval()\n", "", "evaluation samples"),
        ("scores normalized over the batch", "lengths)).detach()", "lengths)).detach().softmax(dim=0)", "samples"),
        (
            "a fresh model in predict",
            "    model.load_state_dict({name: torch.tensor(a) for name, a in weights.items()})\n",
            "",
            "accuracy evaluation samples",
        ),
        part="predict",
    ),
    *faults_of(
        "effects",
        ("counted from one", 'mine["sample"] + 1', 'mine["sample"]', "samples"),
        ("all samples leak", 'mine["sample"] + 1', 'mine["batch"]', "samples"),
        ("gradients not added up", "n * (n + 1) / 2", "n", "updates"),
        ("summed from zero", "n * (n + 1) / 2", "n * (n - 1) / 2", "updates"),
        ("a perfect loss believed to be 0", 'np.log(1 + (mine["classes"] - 1) / np.e)', "0", "softmax"),
        (
            "chance for the lowest loss",
            'np.log(1 + (mine["classes"] - 1) / np.e)',
            'np.log(mine["classes"])',
            "softmax",
        ),
        ("one sample's steps", 'sum(mine["lengths"]) / (2 * ', 'sum(mine["lengths"]) / (1 * ', "padding"),
        ("padding believed not to count", 'sum(mine["lengths"]) / (2 * mine["steps"])', "1", "padding"),
    ),
]
