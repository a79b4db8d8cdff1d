-- A repeat is counted from what is committed; two at the same moment collide in
-- the unique index, and one is decided again.
insert into dcm.message (
    sender, id, received_at, endpoint, message_id, repeat,
    contract_agreement_id, status, objects, bytes, duration, errors,
    capacity_group_id, rule, object_errors
) values (
    @sender, @id, @received_at, @endpoint, @message_id,
    coalesce((select max(e.repeat) + 1 from dcm.message e where e.sender = @sender and e.message_id = @message_id), 0),
    @contract_agreement_id, @status, @objects, @bytes, @duration, @errors::jsonb,
    @capacity_group_ids, @rules, @object_errors::jsonb
)
