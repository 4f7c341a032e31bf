"""Fine-tuning: recipes, data, chunks of training from checkpoint to checkpoint, trained models."""
