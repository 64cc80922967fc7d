-- What the shop begins with: 5,000 users, 500 products, 20,000 orders of 40,000 items.

INSERT INTO categories (name)
SELECT unnest(ARRAY['books', 'music', 'garden', 'kitchen', 'toys', 'tools', 'sport', 'office', 'shoes', 'lamps']);

INSERT INTO users (email, password_hash, first_name, last_name, created_at)
SELECT 'user' || n || '@example.com', md5(n::text), 'First' || n % 97, 'Last' || n % 311,
       timestamp '2024-01-01' + (now()::timestamp - timestamp '2024-01-01') * (n / 5000.0)
FROM generate_series(1, 5000) n;

INSERT INTO products (sku, name, description, price, stock_quantity, category_id)
SELECT 'SKU-' || lpad(n::text, 5, '0'),
       (ARRAY['red', 'green', 'blue', 'small', 'large', 'light', 'old'])[1 + n % 7] || ' '
           || (ARRAY['lamp', 'chair', 'novel', 'hammer', 'kettle', 'record', 'ball', 'pen', 'boot'])[1 + n % 9],
       'A thing that you did not know you need, number ' || n, 1 + n % 200 + 0.99, 1000 + n, 1 + n % 10
FROM generate_series(1, 500) n;

INSERT INTO orders (user_id, user_created_at, status, total_amount, created_at, updated_at)
SELECT u.id, u.created_at, CASE WHEN n % 40 = 0 THEN 'cancelled' ELSE 'delivered' END, 10 + n % 300,
       now() - interval '90 days' * (1 - n / 20000.0), now() - interval '90 days' * (1 - n / 20000.0)
FROM generate_series(1, 20000) n
JOIN users u ON u.id = 1 + (n::bigint * 7919) % 5000;

INSERT INTO order_items (order_id, product_id, product_name, product_price, quantity, subtotal, created_at)
SELECT o.id, p.id, p.name, p.price, i, p.price * i, o.created_at
FROM orders o
CROSS JOIN generate_series(1, 2) i
JOIN products p ON p.id = 1 + (o.id * 31 + i * 17) % 500;

REFRESH MATERIALIZED VIEW daily_sales;
ANALYZE;
