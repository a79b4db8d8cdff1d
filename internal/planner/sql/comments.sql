-- Comments on the group, and on the material demands that it links.
select
    c.comment_id, left(d.material_number_customer, 201) as material, c.author, c.comment_type as type, c.comment_text as text, c.posted_at, c.direction, count(*) over () as total
from planning.comment c
left join planning.material_demand d
    on d.supplier = c.supplier and d.customer = c.customer and d.material_demand_id = c.object_id
    and d.material_number_customer in (
        select s.material_number_customer from planning.linked_demand_series s
        where s.supplier = @supplier and s.customer = @customer and s.capacity_group_id = @id)
where c.supplier = @supplier and c.customer = @customer and (c.object_id = @id or d.material_demand_id is not null)
order by c.posted_at desc
limit 100
