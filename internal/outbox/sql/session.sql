select way
from dcm.way
where partner = $1 and endpoint = $2
