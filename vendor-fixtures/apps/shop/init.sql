CREATE TABLE products (
    id INT PRIMARY KEY AUTO_INCREMENT,
    name VARCHAR(80) NOT NULL,
    price DECIMAL(8, 2) NOT NULL
);
INSERT INTO products (name, price) VALUES ('a lighter container', 4.20);
