"""The method of the paper, equation by equation, as functions of tensors: no files, no settings file, no process group.

clustering.py     App. B, Eqs. 12-17    tokens and positions of both views -> a cluster for each token
objects.py        Eq. 1, §3.2.1         tokens, clusters -> object representations, and which of them both views show
memory_bank.py    Eq. 2, §3.2.2         the pair of banks, nearest neighbour, jump
matching.py       Eqs. 3-4, §3.2.2      cycle consistency: which neighbours may be learnt from
losses.py         Eqs. 5, 7, 9          the softmaxes, their cross-entropy, and the centres
losses_by_block.py                      loss sums and gradients, without holding the logits of all rows at once
teacher.py                              the first half of a step: objects, their neighbours, targets
student.py        Eqs. 6, 8, 10, 11     the second half of a step: the three losses
step.py                                 settings of a step, what the teacher passes to the student, the centres

kmeans.py         Table 12              another clustering
oracle.py         Table 11              ground truth as clusters, or as the judge of neighbours
local_crops.py    DINO's multi-crop     a baseline
mae.py            MAE                   a baseline
health.py         App. C.6              scalars that tell learning from collapse

fused_clustering.py  fused_search.py    Eqs. 17 and 2 as GPU kernels
fused_losses.py                         Eqs. 5, 7, 9 as a GPU kernel
sharded_bank.py                         Eq. 2 in a bank spread over processes
rows.py           lane.py  world.py     which rows to compute; a second GPU queue; what is asked of other processes
precision.py      generated.py          fp32 or better, whatever the backbone returns; functions compiled for a GPU
"""
