update dcm.overview set gave_up_at = null, as_of = null
where supplier = @supplier and customer = @customer and (gave_up_at is not null or as_of is not null)
