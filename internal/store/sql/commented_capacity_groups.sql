-- Which of the objects that comments are on are capacity groups that we have.
select capacity_group_id
from dcm.capacity_group
where supplier = @supplier and customer = @customer and capacity_group_id = any (@objects)
