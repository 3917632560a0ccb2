"""`make bench`: what agentrt costs, beside a pass-through written by hand, on one machine and over loopback only."""
