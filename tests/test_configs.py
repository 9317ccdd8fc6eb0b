"""Every config runs, and every pair of fragments stacks."""

import itertools
import json
from pathlib import Path

import pytest
import yaml

from main import main
from tests.datamodules import test_data_sets as files

CONFIGS = Path(__file__).parents[1] / "configs"
WHOLE = CONFIGS / "plugins" / "destruction_rate.yaml"  # its short form stands for it, but where it is run itself
PLUGINS = [path for path in sorted((CONFIGS / "plugins").glob("*.yaml")) if path != WHOLE]
TINY = ["--trainer.fast_dev_run=true", "--trainer.accelerator=cpu", "--data.batch_size=2", "--data.eval_batch_size=2"]
WRITERS = {
    "cifar10": files.write_cifar10,
    "cifar100": files.write_cifar100,
    "svhn": files.write_svhn,
    "mnist": files.write_mnist,
    "fashion_mnist": lambda root: files.write_mnist(root, "FashionMNIST"),
    "imagenet": lambda root: files.write_imagenet(root, classes=("n01", "n03", "n05")),
}


REFUSED = {  # pairs that cannot both hold, and the sentence that says why
    ("born_again", "early_stopping"): "EarlyStopping would end the training within a generation",
    ("born_again", "graph_smoothness"): "a teacher's class scores must stay as they are",
    ("dense_sparse_dense", "repr"): "both prune the network and bring it back",
    ("adversarial_training", "fast_adversarial_training"): "both attack the images of a batch",
    ("adversarial_training", "free_adversarial_training"): "both attack the images of a batch",
    ("fast_adversarial_training", "free_adversarial_training"): "both attack the images of a batch",
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The run that the distillation fragment names, made as its comment says; one step long."""
    runs = tmp_path_factory.mktemp("teacher") / "runs"
    options = [f"--trainer.logger.save_dir={runs}", "--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
    steps = ["--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    main(["fit", "-c", str(CONFIGS / "quickstart.yaml"), "--name", "teacher", *options, *steps])
    return runs / "teacher"


@pytest.fixture
def with_teacher(teacher, tmp_path):
    """Puts it where the fragment looks."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "teacher").symlink_to(teacher)


def names(paths):
    return [path.stem for path in paths]


def run(*configs, options=(), command="fit"):
    flags = [word for config in configs for word in ("-c", str(config))]
    untrained = [] if command == "fit" else ["--untrained=true"]
    main([command, *flags, *TINY, *options, *untrained])


def test_quickstart():
    run(CONFIGS / "quickstart.yaml")
    run(CONFIGS / "quickstart.yaml", command="test")


@pytest.mark.parametrize("name", names(sorted((CONFIGS / "data").glob("*.yaml"))))
def test_every_data_set_trains_and_tests(name, tmp_path):
    options = []
    if name in WRITERS:
        WRITERS[name](tmp_path / "root")
        options = [f"--data.root={tmp_path / 'root'}", "--data.val_size=2"]
    model = "torchvision" if name == "imagenet" else "vanilla"
    options += ["--data.workers=0", "--model.network.name=squeezenet1_1"] if name == "imagenet" else []
    for command in ("fit", "validate", "test", "predict") if name == "digits" else ("fit", "test"):
        run(CONFIGS / "data" / f"{name}.yaml", CONFIGS / "models" / f"{model}.yaml", options=options, command=command)


@pytest.mark.parametrize("name", names(sorted((CONFIGS / "models").glob("*.yaml"))))
def test_every_model_trains(name, tmp_path):
    data = "digits"
    options = []
    if name == "torchvision":
        data = "imagenet"
        files.write_imagenet(tmp_path / "root")
        options = [f"--data.root={tmp_path / 'root'}", "--data.val_size=2", "--data.workers=0"]
    run(CONFIGS / "data" / f"{data}.yaml", CONFIGS / "models" / f"{name}.yaml", options=options)


IN_TESTS = {  # fragments that rest while a network is trained
    "corruption_error",
    "destruction_rate_short",
    "embedding_readouts",
    "fooling_rate",
    "input_defense",
    "universal_perturbation",
}
TESTING = [path for path in PLUGINS if path.stem in IN_TESTS]
TRAINING = [path for path in PLUGINS if path.stem not in IN_TESTS]


@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize("fragment", PLUGINS, ids=names(PLUGINS))
def test_every_fragment_works_alone(fragment):
    run(CONFIGS / "quickstart.yaml", fragment, command="test" if fragment in TESTING else "fit")


def test_the_whole_table_of_defences_runs():
    """On a network that recognises something, or nothing would be attacked."""
    quick = ["-c", str(CONFIGS / "quickstart.yaml"), "--name=whole", "--trainer.accelerator=cpu"]
    main(["fit", *quick, "--trainer.max_epochs=6"])
    few = ["--data.eval_batch_size=1", "--trainer.limit_test_batches=1", "--trainer.callbacks.images=0"]
    few += ["--trainer.callbacks.ensemble=2", "--trainer.callbacks.eot=1"]
    main(["test", *quick, "-c", str(WHOLE), *few, "--ckpt_path=best"])
    found = json.loads(Path("runs/whole/version_0/metrics.json").read_text())["test"]
    found = {name.removeprefix("test/defended/"): value for name, value in found.items()}
    attacks = [name.removesuffix("/fooled") for name in found if name.endswith("/fooled")]
    defenses = [name.removesuffix("/seconds") for name in found if name.endswith("/seconds")]
    assert (len(attacks), len(defenses)) == (6, 10)
    assert sum(found[f"{attack}/fooled"] for attack in attacks) > 3
    for attack, defense in itertools.product(attacks, defenses):
        for reading in ("acc", "ensemble_acc", "adaptive_acc", "adaptive_ensemble_acc"):
            assert 0 <= found[f"{attack}/{defense}/{reading}"] <= 1  # null where no image was recognised


def test_the_short_table_is_a_part_of_the_whole_one():
    short, whole = (
        yaml.safe_load(path.read_text())["trainer"]["callbacks+"][0]["init_args"]
        for path in (CONFIGS / "plugins" / "destruction_rate_short.yaml", WHOLE)
    )
    for kind in ("attacks", "defenses", "sweeps"):
        assert short[kind].items() <= whole[kind].items()


def stacks(fragments, size=8):
    """Few stacks of fragments, such that every pair that is not refused is in one of them."""
    pairs = {frozenset(pair) for pair in itertools.combinations(names(fragments), 2)}
    refused = {frozenset(pair) for pair in REFUSED}
    left, found = pairs - refused, []
    while left:
        stack = sorted(min(left, key=sorted))
        while len(stack) < size:
            fitting = [n for n in names(fragments) if all(frozenset((n, other)) in pairs - refused for other in stack)]
            new = {n: sum(frozenset((n, other)) in left for other in stack) for n in fitting}
            if not new or not max(new.values()):
                break
            stack.append(max(new, key=new.get))
        left -= {frozenset(pair) for pair in itertools.combinations(stack, 2)}
        found.append(stack)
    return found


STACKS = stacks(TRAINING)


@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize("stack", STACKS, ids=["+".join(stack) for stack in STACKS])
def test_every_pair_of_fragments_stacks(stack):
    run(CONFIGS / "quickstart.yaml", *(CONFIGS / "plugins" / f"{name}.yaml" for name in stack), *TESTING)


@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize("pair", REFUSED, ids="+".join)
def test_pairs_that_cannot_both_hold_are_refused(pair):
    with pytest.raises(ValueError, match=REFUSED[pair]):
        run(CONFIGS / "quickstart.yaml", *(CONFIGS / "plugins" / f"{name}.yaml" for name in pair))


def test_the_graph_criterion_on_the_command_line():
    run(CONFIGS / "quickstart.yaml", options=["--model.init_args.criterion", "criteria.GraphSmoothness"])


def test_alexnet_is_a_bare_word():
    fragment = CONFIGS / "plugins" / "corruption_error.yaml"
    options = ["--trainer.callbacks.baseline=AlexNet"]
    with pytest.raises(ValueError, match="baseline=AlexNet is published for"):  # and not: there is no such run
        run(CONFIGS / "quickstart.yaml", fragment, options=options, command="test")


def test_all_fragments_for_tests_stack_in_a_test():
    defense = CONFIGS / "plugins" / "input_defense.yaml"
    others = [path for path in TESTING if path != defense]
    run(CONFIGS / "quickstart.yaml", *others, defense, options=["--trainer.callbacks.votes=1"], command="test")


def test_fragments_for_tests_stack_on_embeddings():
    embeddings, defense = (CONFIGS / "plugins" / f"{name}.yaml" for name in ("graph_smoothness", "input_defense"))
    others = [path for path in TESTING if path != defense]
    brief = ["--trainer.callbacks.attack.init_args.passes=2"]  # of the last fragment, the universal perturbation
    run(CONFIGS / "quickstart.yaml", embeddings, *others, options=brief, command="test")
    with pytest.raises(ValueError, match="set votes to 1"):  # readouts of embeddings have no classes to vote for
        run(CONFIGS / "quickstart.yaml", embeddings, *TESTING, command="test")


@pytest.mark.parametrize("fragment", [*PLUGINS, WHOLE], ids=names([*PLUGINS, WHOLE]))
def test_a_fragment_appends_its_callbacks_and_says_what_it_does(fragment):
    assert fragment.read_text().startswith("# ")
    assert "callbacks" not in (yaml.safe_load(fragment.read_text()).get("trainer") or {}), "write callbacks+:"
