"""What torchrun runs alone: the ranks meet in a process group, say so, and end."""

import torch.distributed

torch.distributed.init_process_group("gloo")
if torch.distributed.get_rank() == 0:
    print("ready", flush=True)
torch.distributed.destroy_process_group()
