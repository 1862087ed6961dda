"""`export`: a model as ONNX."""

import click


@click.command()
@click.argument("checkpoint")
@click.option("--output", required=True, help="ONNX file to write.")
@click.option(
    "--members", type=click.IntRange(1), default=1, help="Number of members, or of samples of a decoder."
)
def export(checkpoint: str, output: str, members: int) -> None:
    """Write a forecast step, or the decoder of a VAE, as ONNX.

    CHECKPOINT is a checkpoint.safetensors of an experiment of forecast that reads past states, or of sample.vae*.
    """
    from fieldcast.inference.onnx_export import export as export_onnx  # here: torch takes a second to import

    click.echo(export_onnx(checkpoint, output, members))
