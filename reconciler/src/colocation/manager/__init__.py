"""The loop that publishes: state from watches in, evaluations by `colocation.budget`, merge patches out."""
