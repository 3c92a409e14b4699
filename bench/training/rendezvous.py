"""How the ranks of a run find each other: through a file, and over the loopback interface."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import torch.distributed
from pytorch_lightning.strategies import DDPStrategy

STORE = "BENCH_RENDEZVOUS"
INTERFACE = "lo0" if sys.platform == "darwin" else "lo"


@contextmanager
def rendezvous() -> Iterator[dict[str, str]]:
    """Yield the environment that makes processes of this machine find each other, once."""
    with TemporaryDirectory(prefix="bench-ranks-") as folder:
        yield {
            STORE: os.path.join(folder, "store"),
            # The host's name may resolve to any interface.
            "GLOO_SOCKET_IFNAME": INTERFACE,
            "NCCL_SOCKET_IFNAME": INTERFACE,
        }


class OneMachine(DDPStrategy):
    """DDP among processes of one machine.

    PyTorch's own rendezvous server listens on all interfaces and accepts data from anyone, so ranks
    meet through a file.
    """

    def setup_distributed(self) -> None:
        self.set_world_ranks()
        torch.distributed.init_process_group(
            self._get_process_group_backend(),
            init_method=f"file://{os.environ[STORE]}",
            rank=self.global_rank,
            world_size=self.world_size,
        )
        super().setup_distributed()  # which skips what is initialised
