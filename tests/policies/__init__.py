"""Who may register what."""
