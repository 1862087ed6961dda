"""The tasks of this package; their functions are in a module each, which is imported when one of them runs."""

from fieldcast.deferred import Module
from fieldcast.inference.options import Drawing, StateOptions
from fieldcast.tasks.task import RESULTS, Serving, Step, Task

assimilate = Module("fieldcast.tasks.assimilate")
forecast = Module("fieldcast.tasks.forecast")
headlines = Module("fieldcast.scores.headline")
reconstruct = Module("fieldcast.tasks.reconstruct")
sample = Module("fieldcast.tasks.sample")

PREPARED = ("fields", "splits", "climatology", "normalisation")
SCORED = ("scores", "diagnostics")
EVENTS = ("event_thresholds",)
RANKED = ("leaderboard", "summary")
PAGE = ("leaderboard", "results", "fields", "climatology")
PAGE_WITH_EVENTS = (*PAGE, "event_scores")

RECONSTRUCT = Task(
    name="reconstruct",
    preparation=("ingestion", "sparsification"),
    stages=("training", "reconstruction", "evaluation"),
    problem=reconstruct.Reconstruction,
    options=("sparsification",),
    draw_sections=("evaluation",),
    target="observations",
    score=Step(
        reconstruct.score,
        data=("draws", "observations", "checkpoint", *PREPARED),
        parameters=("evaluation", "sparsification"),
        outputs=SCORED,
    ),
    show=Step(reconstruct.show, ("draws", "observations", "fields"), (), ("examples",)),
    metrics=reconstruct.metrics,
    headline=headlines.reconstruction_headline,
    rank=Step(reconstruct.rank, ("results", "fields"), ("evaluation", "limits", "seed"), RANKED),
    page=Step(reconstruct.page, PAGE, (), ("gathered", "figures")),
    summary=reconstruct.reconstruct_summary,
    serving=Serving(reconstruct.fill, "observations", {"members": 19, "seed": 0}),
)

FORECAST = Task(
    name="forecast",
    preparation=("ingestion", "initial_times", "events"),
    stages=("training", "rollout", "evaluation"),
    problem=forecast.Forecasting,
    draw_sections=(),
    types={"options": Drawing},
    target="initial_times",
    results=(*RESULTS, "stability", "snapshots", "events"),
    score=Step(
        forecast.score,
        data=("draws", "initial_times", "checkpoint", *PREPARED, *EVENTS),
        parameters=("options", "rollout", "events"),
        outputs=(*SCORED, "events"),
    ),
    score_file=Step(
        forecast.score_file,
        data=("draws", "initial_times", *PREPARED, *EVENTS),
        parameters=("model", "rollout", "limits", "seed", "events"),
        outputs=(*SCORED, "events"),
    ),
    show=Step(forecast.show, ("draws", "fields", "climatology"), (), ("examples",)),
    metrics=forecast.metrics,
    headline=headlines.forecast_headline,
    rank=Step(forecast.rank, ("results", "fields"), ("seed",), RANKED),
    page=Step(forecast.page, PAGE_WITH_EVENTS, (), ("gathered", "figures", "animation")),
    further=(
        Step(forecast.tabulate, ("results",), (), ("stability",)),
        Step(forecast.forecast_events, ("results", "fields"), ("seed",), ("event_scores",)),
    ),
    summary=forecast.forecast_summary,
    serving=Serving(forecast.predict, "states", {"steps": 10, "members": 10, "seed": 0}),
)

ASSIMILATE = Task(
    name="assimilate",
    preparation=("ingestion", "observing_network", "events"),
    stages=("calibration", "assimilation", "evaluation"),
    problem=assimilate.Assimilation,
    options=("assimilation", "sparsification"),
    draw_sections=("assimilation",),
    target="cycle_observations",
    results=(*RESULTS, "leads", "film", "events"),
    score=Step(
        assimilate.score,
        data=("draws", "cycle_observations", "checkpoint", *PREPARED, *EVENTS),
        parameters=("assimilation", "sparsification", "events"),
        outputs=(*SCORED, "events"),
    ),
    show=Step(assimilate.show, ("draws", "cycle_observations", "fields"), (), ("examples", "film")),
    metrics=assimilate.metrics,
    headline=headlines.analysis_headline,
    rank=Step(assimilate.rank, ("results", "fields"), ("assimilation", "limits", "seed"), RANKED),
    page=Step(assimilate.page, PAGE_WITH_EVENTS, (), ("gathered", "figures")),
    further=(
        Step(
            assimilate.tabulate_leads,
            data=("results", "fields"),
            parameters=("assimilation", "limits"),
            outputs=("lead_time_lost",),
        ),
        Step(
            assimilate.cycle_events,
            data=("results", "fields"),
            parameters=("assimilation", "limits", "seed"),
            outputs=("event_scores",),
        ),
    ),
    summary=assimilate.assimilate_summary,
)

SAMPLE = Task(
    name="sample",
    preparation=("ingestion", "features"),
    stages=("training", "sampling", "evaluation"),
    problem=sample.StateSampling,
    options=("options",),
    draw_sections=("sampling",),
    types={"options": StateOptions},
    target="extractor",
    results=(*RESULTS, "latents"),
    score=Step(
        sample.score,
        data=("draws", "densities", "latents", "extractor", "checkpoint", *PREPARED),
        parameters=("options", "sampling"),
        outputs=(*SCORED, "displayed"),
    ),
    show=Step(sample.show, ("pictures", "displayed"), (), ("examples",)),
    metrics=sample.metrics,
    headline=headlines.sample_headline,
    rank=Step(sample.rank, ("results", "fields", "splits"), ("sampling", "limits"), RANKED),
    page=Step(sample.page, ("leaderboard", "results", "fields"), (), ("gathered", "figures")),
    summary=sample.sample_summary,
    serving=Serving(sample.draw, "nothing", {"samples": 10, "seed": 0}),
)
