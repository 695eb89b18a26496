"""The engine on Ray: jobs on the replicas of one deployment, on this machine or on a cluster; the extra `serve`.

Nothing else imports Ray, and nothing imports this unless `EXPLORER_ENGINE` or `--engine` says ray. What is done by Ray
(restarts, routing, several nodes) is not done again here; what a replica does with a job is `engine.LocalEngine`.
"""
