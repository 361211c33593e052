"""A site's training script: runs top to bottom, and does not know where."""

from fox_hpc import FLModel, get_client_api
from fox_hpc.testing.digits import fit_linear, site_share

SITES = 2

flare = get_client_api()
flare.init()
images, labels = site_share(flare.get_site_name(), SITES)

while flare.is_running():
    model = flare.receive()
    weights = fit_linear(model.params, images, labels)
    moved = float(abs(weights["w"] - model.params["w"]).max())
    flare.log({"moved": moved}, step=model.current_round)
    flare.send(FLModel(params=weights, meta={"num_samples": len(labels)}))
