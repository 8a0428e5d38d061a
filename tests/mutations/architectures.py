"""Mutations of the networks: which is built, from which seed, and whose code runs."""

from __future__ import annotations

from mutation import Mutation

CATALOG = "gsdd_runtime/networks/catalog.py"
CONVNET = "gsdd_runtime/networks/convnet.py"
MODEL_FILE = "gsdd_runtime/networks/model_file.py"
OUTSIDE = "gsdd_runtime/networks/outside.py"
RESNET = "gsdd_runtime/networks/resnet.py"
RESNET_AP = "gsdd_runtime/networks/resnet_ap.py"
VIT = "gsdd_runtime/networks/vit.py"

PUBLISHED = "test_reference_networks.py::test_outputs_are_those_of_the_published_network"

MUTATIONS = [
    Mutation(
        "gives every ConvNet instance norm",
        CONVNET,
        "norm(plan.width, plan.norm, shape)",
        "norm(plan.width)",
        (f"{PUBLISHED}[convnet3-batch-3x32]",),
        short=True,
    ),
    Mutation(
        "pools a ConvNet by the mean alone",
        CONVNET,
        'nn.AvgPool2d(2) if plan.pooling == "avgpool" else nn.MaxPool2d(2)',
        "nn.AvgPool2d(2)",
        (f"{PUBLISHED}[convnet3-maxpool-3x32]",),
    ),
    Mutation(
        "builds the batch norm of a name without it",
        CATALOG,
        'Entry(partial(vgg11, kind="batch"), "batch", _DC)',
        'Entry(vgg11, "batch", _DC)',
        (f"{PUBLISHED}[vgg11-batch-3x32]",),
    ),
    Mutation(
        "pools a strided block of ResNet-AP on its shortcut alone",
        RESNET,
        "            *pool,\n            nn.Conv2d",
        "            nn.Conv2d",
        (f"{PUBLISHED}[resnetap10-3x32]",),
    ),
    Mutation(
        "chooses ResNet-AP's stem by the shorter side",
        RESNET_AP,
        "for side, kernel, pool in STEMS if max(size) <= side",
        "for side, kernel, pool in STEMS if min(size) <= side",
        ("test_networks.py::test_the_longer_side_chooses_the_stem",),
    ),
    Mutation(
        "reads a patch by columns",
        VIT,
        ".permute(0, 2, 4, 3, 5, 1)",
        ".permute(0, 2, 4, 5, 3, 1)",
        ("test_networks.py::test_patches_are_seen_where_they_are",),
    ),
    Mutation(
        "draws dropout from PyTorch's generator",
        "gsdd_runtime/networks/dropout.py",
        "torch.rand(x.shape, generator=generator, device=x.device)",
        "torch.rand(x.shape, device=x.device)",
        ("test_networks.py::test_dropout_draws_from_the_network_s_seed_and_not_from_pytorch_s",),
        short=True,
    ),
    Mutation(
        "runs code that no one named",
        OUTSIDE,
        "    if is_bound(name) and name not in _permitted:",
        "    if False:",
        ("test_outside_networks.py::test_a_name_that_no_one_gave_is_not_run",),
        short=True,
    ),
    Mutation(
        "runs code because a file names it",
        MODEL_FILE,
        '    check_named_by_file(path, facts["network"], network, naming)\n    permit(network)\n',
        '    permit(facts["network"])\n',
        ("test_outside_networks.py::test_no_file_makes_it_run",),
        short=True,
    ),
    Mutation(
        "runs a teacher's code because a document names it",
        "gsdd_runtime/commands/repeating.py",
        "if own is not None and teacher is None:",
        "if False:",
        ("test_outside_networks.py::test_a_teacher_of_one_s_own_class_is_run_where_it_is_named",),
    ),
    Mutation(
        "makes whatever network a file names, however large",
        "gsdd_runtime/networks/size_guard.py",
        "left -= parameter.numel() * parameter.element_size()",
        "left -= 0",
        (
            "test_outside_networks.py::"
            "test_a_file_that_names_a_network_far_larger_than_itself_is_refused_while_that_is_made",
        ),
    ),
    Mutation(
        "allocates a parameter before it is counted",
        "gsdd_runtime/networks/size_guard.py",
        "with _Asked(allow):",
        "if True:",
        ("test_outside_networks.py::test_a_single_tensor_larger_than_a_file_allows_is_refused_before_it_is_allocated",),
    ),
    Mutation(
        "makes whatever network an expert's file names, however large",
        "gsdd_runtime/experts/subject.py",
        'with at_most(os.path.getsize(path), where, fields["network"]):',
        "if True:",
        ("test_outside_networks.py::test_a_file_of_experts_is_bounded_as_a_network_s_file_is",),
    ),
    Mutation(
        "verifies a set by whatever code it names",
        "gsdd_runtime/evaluation/verification.py",
        "    if is_bound(name) and name != network:",
        "    if False:",
        ("test_outside_networks.py::test_measuring_again_runs_it_where_it_is_named",),
    ),
    Mutation(
        "evaluates again by whatever code a document names",
        "gsdd_runtime/commands/repeating.py",
        "    if bound is not None and networks is None:",
        "    if False:",
        ("test_outside_networks.py::test_measuring_again_runs_it_where_it_is_named",),
    ),
    Mutation(
        "lets timm fetch weights",
        OUTSIDE,
        '"pretrained": False',
        '"pretrained": True',
        ("test_outside_networks.py::test_timm_is_never_asked_for_weights",),
    ),
    Mutation(
        "keeps a place of weights in a trained network's file",
        MODEL_FILE,
        '"network": without_file(network),',
        '"network": network,',
        ("test_outside_networks.py::test_timm_starts_from_the_weights_of_a_file_but_for_the_classifier",),
    ),
    Mutation(
        "trains AlexNet at the rate of the others",
        "gsdd_runtime/networks/published.py",
        '"alexnet": PublishedTraining(1e-3, "cosine", _GSDD),',
        "",
        ("test_networks_command.py::test_rates_are_the_published_ones",),
    ),
    Mutation(
        "asks a trained network of one's own for no name in info",
        "gsdd_runtime/commands/info.py",
        "load_set_or_model(path, network)",
        "load_set_or_model(path)",
        ("test_command_options.py::test_an_option_reaches_the_library[info network]",),
    ),
]
