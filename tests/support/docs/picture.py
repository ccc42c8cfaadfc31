"""The picture of a run in the documentation, made again by `make picture`."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dlt_dbtcloud import dbt_cloud_run_report, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.projects.flights import Flights
from tests.support.reports.browser import open_page

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect

PICTURE = Path(__file__).parents[3] / "docs" / "flights.png"
_WIDTH, _SCALE = 1200, 1.5
# runs with which the last one is compared
_EARLIER = 3
# distance of colours that look alike
_ALIKE = 14
# returns the pixels of a PNG
_PIXELS = """async (png) => {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const { data } = canvas.getImageData(0, 0, image.width, image.height);
  let text = "";
  for (let i = 0; i < data.length; i += 9999) {
    text += String.fromCharCode(...data.subarray(i, i + 9999));
  }
  return [image.width, image.height, btoa(text)];
}"""


def main() -> int:
    """Run the flights project until a model fails, and take a picture of the page of that run."""
    with TemporaryDirectory() as folder:
        page = Path(folder).resolve() / "run.html"
        page.write_text(_failed_run(page.parent), encoding="utf-8")
        _take(page)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")
    return 0


def _failed_run(folder: Path) -> str:
    os.chdir(folder)
    with DBTCloudEmulator() as cloud:
        os.environ.update(cloud.environment())
        flights = Flights(cloud, folder)
        job = flights.job("dbt source freshness", "dbt build", threads=4)
        flights.load(days=30)
        for _ in range(_EARLIER):
            run_dbt_cloud_job(job_id=job)
        flights.load(days=30)
        flights.make_times_impossible()
        return dbt_cloud_run_report(
            run_id=run_dbt_cloud_job(job_id=job, pipeline=flights.pipeline)["id"]
        )


def _take(file: Path) -> None:
    """Take a picture from the head of a page to its lineage, without the slowest nodes."""
    with open_page(device_scale_factor=_SCALE) as page:
        page.set_viewport_size({"width": _WIDTH, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate("document.querySelectorAll('#time h3, #time .wide').forEach(e => e.remove())")
        end = page.locator("#lineage").bounding_box()
        assert end is not None
        height = end["y"] + end["height"] + 24
        clip: FloatRect = {"x": 0, "y": 0, "width": _WIDTH, "height": height}
        picture = page.screenshot(full_page=True, clip=clip)
        page.goto("about:blank")
        width, height, pixels = page.evaluate(_PIXELS, b64encode(picture).decode())
        PICTURE.write_bytes(_small_png(width, height, b64decode(pixels)))


def _small_png(width: int, height: int, pixels: bytes) -> bytes:
    """Return a PNG of 256 colours, which has a third of the size.

    Args:
        width: The number of columns.
        height: The number of rows.
        pixels: Red, green, blue and opacity of each pixel.
    """
    view = memoryview(pixels).cast("I")
    palette: list[tuple[int, ...]] = []
    places: dict[int, int] = {}
    for code, _ in Counter(view).most_common():
        colour = tuple(code.to_bytes(4, sys.byteorder)[:3])
        nearest = min(range(len(palette)), key=lambda i: _distance(colour, palette[i]), default=0)
        if not palette or (len(palette) < 256 and _distance(colour, palette[nearest]) > _ALIKE):
            nearest = len(palette)
            palette.append(colour)
        places[code] = nearest
    indices = bytes(map(places.__getitem__, view))
    lines = (b"\0" + indices[i : i + width] for i in range(0, len(indices), width))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", b"".join(map(bytes, palette))),
        (b"IDAT", zlib.compress(b"".join(lines), 9)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _distance(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    sys.exit(main())
