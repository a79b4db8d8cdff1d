select dcm.make_overview(@supplier, @customer, @pauses)
