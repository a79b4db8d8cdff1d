update dcm.overview set gave_up_at = null
where supplier = @supplier and customer = @customer and gave_up_at is not null
