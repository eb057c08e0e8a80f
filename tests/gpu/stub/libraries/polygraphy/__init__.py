"""What of Polygraphy builds plans, for a rehearsal: a plan is what the stub of TensorRT opens."""
