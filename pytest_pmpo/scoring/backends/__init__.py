"""Where token losses come from; the only rooms of this stage that import torch, transformers, httpx or ray."""
