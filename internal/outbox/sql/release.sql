select released_supplier, released_customer, material_number_customer, material_demand_id::text, outcome, coalesce(why, '')
from outbox.release(nullif($1, ''), nullif($2, ''))
