analyze imported
