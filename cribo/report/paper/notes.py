"""Footnotes by table: where the paper contradicts itself, or does not state what its own numbers depend on."""

MARKS = {
    "": "",
    "dagger": " †",
    "star": " *",
}
MARK_NOTES = {
    "dagger": "†: reproduced by the paper's authors.",
    "star": "*: as reported by Balažević et al. (2023), with their own protocol.",
}
NOTES: dict[int, tuple[str, ...]] = {
    1: (
        "Section 4.1 has CrIBo ahead of every method but Hummingbird, above all after pretraining on COCO; SlotCon is "
        "ahead on Pascal VOC at 1/8 (52.9, CrIBo 52.8).",
        "Section 5 says that only ViT-based methods are compared; three rows are of ResNet-50.",
        "Appendix A.1 trains ViT-S/16 for 800 epochs without an exception; every table says 300 on COCO.",
    ),
    2: ("λ_pos, S and K of the ViT-S/8 are not stated.",),
    4: (
        "At λ_pos 2.0 and K 64 without the cross-image loss: 47.5 and 18.4 here, 47.1 and 18.3 in Table 5.",
        "Section 4.4 speaks of saturation at S 25k, which is the largest size tried.",
        "S counts images, so K and the number of objects in the bank change together.",
        "The share of training images is not stated: 1/1 follows from the default's value being that of Table 1.",
    ),
    5: (
        "Pascal VOC 47.1 and ADE20K 18.3 without the cross-image loss; Table 4 has 47.5 and 18.4 for the same setting.",
        "The number of neighbours of the k-NN is not stated.",
    ),
    6: ("The caption cites He et al. (2017) for the detector; Appendix C.2 cites Fang et al. (2021), YOLOS.",),
    7: (
        "DINO ViT-B/16 on COCO-Stuff has 29.9, less than the 31.9 of Table 2 on one layer; every other value is above its "
        "counterpart there.",
    ),
    8: ("Backbone and share of training images are not stated.",),
    9: ("K is 12; the models that are reported have 32 or 64.",),
    10: (
        "Appendix C.8 calls the budgets similar: these times give 127 h for MAE's 1600 epochs, 198 h for DINO's 400 and "
        "189 h for CrIBo's 400 at K 32.",
        "Backbone and data set are not stated.",
    ),
    11: ("Which masks the ground truth stands for is stated as those of COCO and COCO-Stuff, at 1/16.",),
    12: ("Iterations and start of K-means are not stated.",),
}
