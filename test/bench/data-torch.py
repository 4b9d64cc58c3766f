# PyTorch's data loading: torchvision transforms in DataLoader workers, one epoch whenever the input says so. Run by data.ts.
import json, os, resource, sys, time
import torch, torchvision
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

folder, mode, batch, workers, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))] * repeats
torch.set_num_threads(1)
augment = [T.RandomHorizontalFlip(0.5), T.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.2, hue=25 / 360)]
if mode == "pil":
    from PIL import Image
    transform = T.Compose([T.Resize((192, 640)), *augment, T.ToTensor()])
    read = lambda file: transform(Image.open(file).convert("RGB"))
else:
    from torchvision.io import ImageReadMode, read_image
    transform = T.Compose([T.Resize((192, 640), antialias=True), *augment, T.ConvertImageDtype(torch.float32)])
    read = lambda file: transform(read_image(file, ImageReadMode.RGB))


class Images(Dataset):
    def __len__(self):
        return len(files)

    def __getitem__(self, index):
        return read(files[index])


def children_seconds():
    """CPU time of this process and of the worker processes that it holds."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return own.ru_utime + own.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


read(files[0])
loader = DataLoader(Images(), batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=True)
print(json.dumps({"version": f"torchvision {torchvision.__version__}, PyTorch {torch.__version__}"}), flush=True)
for line in sys.stdin:
    if line.strip() != "epoch":
        break
    cpu, wall, images = children_seconds(), time.perf_counter(), 0
    for each in loader:
        images += each.shape[0]
    print(json.dumps({"ms": 1e3 * (time.perf_counter() - wall), "cpuMs": 1e3 * (children_seconds() - cpu), "images": images}), flush=True)
