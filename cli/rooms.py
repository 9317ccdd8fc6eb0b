"""The rooms whose classes a config may name without their package: they only need to be imported."""

import attacks
import callbacks
import corruptions
import criteria
import datamodules
import defenses
import lightning_modules
import metrics
import networks
import pruning

ROOMS = (
    attacks,
    callbacks,
    corruptions,
    criteria,
    datamodules,
    defenses,
    lightning_modules,
    metrics,
    networks,
    pruning,
)
