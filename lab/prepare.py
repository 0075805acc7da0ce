"""What takes minutes the first time: images and packages, made side by side and kept under the lab's home."""

from concurrent.futures import ThreadPoolExecutor

from lab import servers, services
from lab.containers import image
from lab.deepgram import images, models
from lab.home import Home
from lab.nvidia import repositories
from lab.packages import require
from lab.systems import System


def prepare(home: Home, with_servers: bool, system: System, with_docker: bool = False) -> tuple[str, str, list[str]]:
    """Makes what is missing; returns the services' image, the package key's fingerprint and the model files' names."""
    desired = [services.image(home)] + ([servers.image(home, system, with_docker)] if with_servers else [])
    if not all(image.exists(one) for one in desired):
        require("mmdebstrap")
    with ThreadPoolExecutor() as pool:
        builds = [pool.submit(image.build, home, one) for one in desired]
        pool.submit(images.base_layer, home.directory("images")).result()
        names = models.write_models(home.directory("models"))
        tags = [build.result() for build in builds]
    fingerprint = repositories.ensure(home, tags[0])
    if system.repositories:
        system.repositories(home, fingerprint)
    return tags[0], fingerprint, names
